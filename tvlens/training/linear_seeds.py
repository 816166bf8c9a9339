"""Many seeds of a linear transformer, trained in one batch.

The model is so small that most of a step's time goes into starting operations: an operation on the
weights of all seeds costs little more than on those of one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from tvlens.base.config import to_json
from tvlens.base.errors import InputError
from tvlens.models import LinearTransformer
from tvlens.models.linear.config import LinearConfig
from tvlens.prompts import Episodes, Prompt
from tvlens.tasks import Task
from tvlens.training.experiment import TrainConfig
from tvlens.training.linear_experiment import LinearExperiment
from tvlens.training.linear_losses import query_losses
from tvlens.training.loop import TrainState
from tvlens.training.losses import Losses
from tvlens.training.optimization import Adam

PROMPTS_AT_ONCE = {"cpu": 3000, "cuda": 10**6}
"""What suits a core's cache, and what keeps a GPU busy and fits into it."""


class SeedStack(nn.Module):
    """Linear transformers of one kind, whose weights have a leading dimension `seed`."""

    def __init__(self, models: Sequence[LinearTransformer]) -> None:
        super().__init__()
        weights, _ = stack_module_state(list(models))  # pyright: ignore[reportArgumentType]
        self.names = list(weights)
        """What the weights are called in each of the models."""
        self.weights = nn.ParameterList(nn.Parameter(each.detach()) for each in weights.values())
        # In a tuple it is no part of this module: it lends its code, and its weights are unused.
        self._one = (models[0],)

    def __len__(self) -> int:
        return len(self.weights[0])

    @property
    def config(self) -> LinearConfig:
        """Size and kind of each model."""
        return self._one[0].config

    def answer(
        self, prompt: Prompt, kept: Bool[Tensor, "layer prompt position"] | None = None
    ) -> Float[Tensor, "prompt d"]:
        """The predictions for the queries: the first of as many equal parts as there are seeds
        belongs to the first model, and so on; see `LinearTransformer.answer`.
        """

        def one(weights: dict[str, Tensor], inputs: Tensor, kept: Tensor | None) -> Tensor:
            options = {"only": slice(-1, None), "kept": kept}
            return functional_call(self._one[0], weights, (inputs, prompt.position_ids), options)

        inputs = prompt.inputs.unflatten(0, (len(self), -1))
        if kept is not None:
            kept = kept.unflatten(1, (len(self), -1))
        weights = dict(zip(self.names, self.weights, strict=True))
        together = PROMPTS_AT_ONCE.get(inputs.device.type, PROMPTS_AT_ONCE["cuda"])
        chunk = max(1, together // inputs.shape[1])
        dims = (0, 0, None if kept is None else 1)
        answers = vmap(one, in_dims=dims, chunk_size=chunk)(weights, inputs, kept)
        return answers[:, :, 0].flatten(0, 1)

    def sample_kept(
        self, batch: int, *, generator: Generator
    ) -> Bool[Tensor, "layer prompt position"]:
        """See `LinearTransformer.sample_kept`."""
        return self._one[0].sample_kept(batch, generator=generator)

    def sizes(self) -> Float[Tensor, " seed"]:
        """The sum of the absolute values of each model's weights."""
        return torch.stack([each.abs().sum(1) for each in self._rows(self.weights)]).sum(0)

    def clip_gradients(self, norm: float) -> None:
        """Scale the gradient of each model to at most a length, as if it were alone."""
        gradients = [each.grad for each in self.weights if each.grad is not None]
        squares = [each.square().sum(1) for each in self._rows(gradients)]
        lengths = torch.stack(squares).sum(0).sqrt()
        factors = (norm / (lengths + 1e-6)).clamp(max=1)
        for each in gradients:
            each.mul_(factors.view(-1, *[1] * (each.dim() - 1)))

    def weights_of(self, index: int) -> dict[str, Tensor]:
        """The weights of one model, by its own names."""
        return {n: each[index] for n, each in zip(self.names, self.weights, strict=True)}

    def _rows(self, tensors: Iterable[Tensor]) -> Iterator[Float[Tensor, "seed weight"]]:
        return (each.reshape(len(self), -1) for each in tensors)


@dataclass(frozen=True)
class LinearSeeds:
    """One experiment from several seeds at once.

    Initial weights are those of each seed alone. Training data are independent between seeds, but
    they are drawn together, so another set of seeds gives each of them other data.
    """

    experiment: LinearExperiment = LinearExperiment()
    """What is trained; its own seed is not used."""
    seeds: tuple[int, ...] = (0,)
    """A model for each."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"Give one seed or more, each once, got {list(self.seeds)}.")
        if not isinstance(self.experiment.train.optimizer, Adam):
            raise InputError(
                "Several seeds train in one batch with Adam only: Muon would take the weights of "
                f"all of them for one, got {self.experiment.train.optimizer}."
            )

    @property
    def task(self) -> Task:
        """What is learned in context."""
        return self.experiment.task

    @property
    def train(self) -> TrainConfig:
        """Length and manner of training; a batch is that of all seeds."""
        train = self.experiment.train
        return replace(train, batch=train.batch * len(self.seeds))

    @property
    def seed(self) -> int:
        """The first seed, which the training data come from."""
        return self.seeds[0]

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> SeedStack:
        """The untrained models."""
        alone = [replace(self.experiment, seed=seed) for seed in self.seeds]
        return SeedStack([each.build_model(device=device, dtype=dtype) for each in alone])

    def data_generator(self, device: torch.device) -> Generator:
        """The source of the training data, on the device that trains."""
        return replace(self.experiment, seed=self.seed).data_generator(device)

    def losses(
        self, model: SeedStack, episodes: Episodes, *, generator: Generator, step: int
    ) -> Losses:
        """The losses of each seed, on its own part of the batch."""
        sparsity = self.experiment.sparsity.at(step)
        format = self.experiment.format
        losses = query_losses(model, self.task, format, episodes, generator=generator)
        icl = losses.unflatten(0, (len(model), -1)).mean(1)
        total = icl + sparsity * model.sizes() if sparsity else icl
        return Losses(total, icl, torch.full_like(icl, torch.nan))

    def clip_gradients(self, model: SeedStack) -> None:
        """Bound the length of each model's gradient."""
        model.clip_gradients(self.train.clip_norm)

    def to_json(self) -> dict[str, Any]:
        """As nested JSON objects."""
        return to_json(self)

    def alone(self, state: TrainState[SeedStack]) -> Iterator[tuple[LinearExperiment, TrainState]]:
        """Each seed's experiment and state, as if it had been trained alone; without optimiser."""
        for index, seed in enumerate(self.seeds):
            experiment = replace(self.experiment, seed=seed)
            model = experiment.build_model(device=state.model.weights[0].device)
            # Buffers of a model are constants.
            model.load_state_dict(state.model.weights_of(index), strict=False)
            rows, seconds = state.rows[index :: len(self.seeds)], state.seconds / len(self.seeds)
            yield (
                experiment,
                TrainState(model, [], state.generator, step=state.step, rows=rows, seconds=seconds),
            )
