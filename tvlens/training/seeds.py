"""One experiment from several seeds, trained in one batch.

Where a model is so small that most of a step's time goes into starting operations, an operation on
the weights of all seeds costs little more than on those of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tvlens.base.config import kind, to_json
from tvlens.base.errors import InputError
from tvlens.prompts import Episodes
from tvlens.results import History
from tvlens.results.history import Row
from tvlens.tasks import Task
from tvlens.training.experiment import Batch, Experiment, TrainConfig, Trained
from tvlens.training.objectives import Losses

PROMPTS_AT_ONCE = {"cpu": 3000, "cuda": 10**6}
"""What suits a core's cache, and what keeps a GPU busy and fits into it."""


@kind
@dataclass(frozen=True)
class Seeds:
    """One experiment from several seeds at once.

    Each seed has the initial weights and the training data that it has alone, so that no run
    depends on its companions. They are in one model, whose every weight has a leading dimension
    `seed`; so have the losses.
    """

    experiment: Experiment = Experiment()
    """What is trained; its own seed is not used."""
    seeds: tuple[int, ...] = (0,)
    """A model for each."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"Give one seed or more, each once, got {list(self.seeds)}.")

    @property
    def task(self) -> Task:
        """What is learned in context."""
        return self.experiment.task

    @property
    def train(self) -> TrainConfig:
        """Length and manner of training; a batch is that of each seed."""
        return self.experiment.train

    @property
    def alone(self) -> list[Experiment]:
        """The experiment of each seed."""
        return [replace(self.experiment, seed=seed) for seed in self.seeds]

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> Any:
        """The untrained models as one, with weights of all seeds; it cannot be called."""
        models = [each.build_model(device=device, dtype=dtype) for each in self.alone]
        stack = models[0]  # What is no weight, such as a buffer, is the same for all.
        for name, weights in stack_module_state(models)[0].items():
            module, _, weight = name.rpartition(".")
            setattr(stack.get_submodule(module), weight, nn.Parameter(weights.detach()))
        return stack

    def generators(self, device: torch.device) -> list[Generator]:
        """The source of each seed's training data, on the device that trains."""
        return [generator for each in self.alone for generator in each.generators(device)]

    def draw(self, model: Any, generators: Sequence[Generator]) -> list[Batch]:
        """Draw all that is random in a step, for each seed as it does alone."""
        return [self.experiment.draw(model, [generator]) for generator in generators]

    def losses(self, model: nn.Module, batch: Sequence[Batch], *, step: int) -> Losses:
        """The losses of each seed, on its own batch."""

        def one(weights: dict[str, Tensor], episodes: dict[str, Tensor], draws: Any) -> Losses:
            return functional_call(alone, weights, (Batch(Episodes(**episodes), draws),))

        alone = _Losses(self.experiment, model, step)
        device = next(model.parameters()).device.type
        together = PROMPTS_AT_ONCE.get(device, PROMPTS_AT_ONCE["cuda"])
        mapped = vmap(one, chunk_size=max(1, together // self.train.batch))
        with sdpa_kernel(SDPBackend.MATH):  # Not all fused kernels can be mapped.
            return mapped(
                dict(alone.named_parameters()),
                _stacked([vars(each.episodes) for each in batch]),
                _stacked([each.draws for each in batch]),
            )

    def clip_gradients(self, model: nn.Module) -> None:
        """Bound the length of each seed's gradient, as if it were alone."""
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        squares = [each.reshape(len(self.seeds), -1).square().sum(1) for each in gradients]
        lengths = torch.stack(squares).sum(0).sqrt()
        factors = (self.train.clip_norm / (lengths + 1e-6)).clamp(max=1)
        for each in gradients:
            each.mul_(factors.view(-1, *[1] * (each.dim() - 1)))

    def history(self, rows: Sequence[Row]) -> History:
        """The history that training left, of all seeds."""
        return History.from_rows(rows, self.seeds)

    def alone_in(self, model: nn.Module, index: int) -> Any:
        """The model of one seed, with its own weights."""
        weights = {name: each[index].detach() for name, each in model.named_parameters()}
        alone = self.alone[index].build_model(device=next(model.parameters()).device)
        alone.load_state_dict(weights, strict=False)  # Buffers are constants.
        return alone

    def split(self, model: nn.Module, history: History) -> list[Trained]:
        """What was trained, one for each seed."""
        return [
            Trained(each, self.alone_in(model, index), history.alone(each.seed))
            for index, each in enumerate(self.alone)
        ]

    def to_json(self) -> dict[str, Any]:
        """As nested JSON objects."""
        return to_json(self)


class _Losses(nn.Module):
    """The losses of a model as a module, whose weights can be exchanged."""

    def __init__(self, experiment: Experiment, model: nn.Module, step: int) -> None:
        super().__init__()
        self.experiment, self.model, self.step = experiment, model, step

    def forward(self, batch: Batch) -> Losses:
        return self.experiment.losses(self.model, batch, step=self.step)


def _stacked(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all seeds, with a leading dimension."""
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}
