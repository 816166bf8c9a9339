"""What is trained: one frozen object that determines a run, up to the rounding of its device."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, nn
from torch.nn.utils import clip_grad_norm_

# What may stand in the file of an experiment is known once it is imported.
import tvlens.models.linear.config
import tvlens.training.query_objective  # noqa: F401
from tvlens.base.config import from_json, kind, to_json
from tvlens.base.errors import InputError
from tvlens.models import TransformerConfig
from tvlens.models.protocol import ModelConfig
from tvlens.prompts import ZXY, Episodes, Format
from tvlens.results import History
from tvlens.results.history import Row
from tvlens.tasks import LinearRegression, Task, sample_episodes
from tvlens.training.icl_objective import ICLObjective
from tvlens.training.objectives import Draws, Losses, Objective
from tvlens.training.optimization import Adam, OptimizerConfig, Schedule


class Batch(NamedTuple):
    """All that is random in a step of training."""

    episodes: Episodes
    draws: Draws


@kind
@dataclass(frozen=True)
class TrainConfig:
    """Length and manner of training."""

    steps: int = 10_000
    """Number of optimiser steps; every one sees fresh episodes."""
    batch: int = 64
    """Episodes per step."""
    examples: int = 12
    """Longest context: an episode has this many examples and then a query."""
    optimizer: OptimizerConfig = Adam()
    """How weights are updated."""
    schedule: Schedule = Schedule.COSINE
    """Learning rate after the warm-up."""
    warmup: int = 200
    """Steps of linear warm-up."""
    clip_norm: float = 1.0
    """Largest norm of a gradient."""
    bf16: bool = False
    """Run the matrix products of the forward pass in bfloat16."""
    log_every: int = 50
    """Steps per row of the history; losses are looked at (and the device waited for) this often."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "examples", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"TrainConfig.{name} is {getattr(self, name)}; give at least 1.")
        if self.warmup < 0 or self.clip_norm <= 0:
            raise InputError(f"TrainConfig needs warmup >= 0 and clip_norm > 0, got {self}.")

    @property
    def shots(self) -> int:
        """Examples of a training episode, the one that is only asked included."""
        return self.examples + 1


@kind
@dataclass(frozen=True)
class Experiment:
    """A task, how it is shown, a model, what is minimised and how: all that determines a run."""

    task: Task = LinearRegression()
    """What is learned in context."""
    format: Format = ZXY
    """How examples become tokens."""
    model: ModelConfig = TransformerConfig()
    """Size and kind of the model."""
    objective: Objective = ICLObjective()
    """The loss."""
    train: TrainConfig = TrainConfig()
    """The training."""
    seed: int = 0
    """Seed of initial weights and training data."""

    def __post_init__(self) -> None:
        self.model.check(self.task, self.format)
        self.objective.check(self.format, self.model)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its one seed."""
        return (self.seed,)

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> Any:
        """The untrained model, with the weights that training starts from."""
        return self.model.build(
            self.task,
            self.format,
            self.train.examples,
            generator=Generator().manual_seed(self.seed),
            device=device,
            dtype=dtype,
        )

    def generators(self, device: torch.device) -> list[Generator]:
        """The source of the training data, on the device that trains."""
        return [Generator(device).manual_seed(self.seed + 1_000_003)]

    def draw(self, model: Any, generators: Sequence[Generator]) -> Batch:
        """Draw all that is random in a step."""
        (generator,) = generators
        task, format, train = self.task, self.format, self.train
        episodes = sample_episodes(task, train.batch, train.shots, generator=generator)
        return Batch(
            episodes, self.objective.draw(model, task, format, episodes, generator=generator)
        )

    def losses(self, model: Any, batch: Batch, *, step: int) -> Losses:
        """The losses of a batch, after a number of steps."""
        return self.objective.losses(
            model, self.task, self.format, batch.episodes, batch.draws, step=step
        )

    def clip_gradients(self, model: nn.Module) -> None:
        """Bound the length of the gradient."""
        clip_grad_norm_(model.parameters(), self.train.clip_norm)

    def history(self, rows: Sequence[Row]) -> History:
        """The history that training left."""
        return History.from_rows(rows)

    def alone_in(self, model: Any, index: int) -> Any:
        """The model of one seed: there is one."""
        return model

    def split(self, model: Any, history: History) -> "list[Trained]":
        """What was trained, one for each seed: this alone."""
        return [Trained(self, model, history)]

    def to_json(self) -> dict[str, Any]:
        """As nested JSON objects."""
        return to_json(self)

    @classmethod
    def from_json(
        cls, data: Any, where: str = "the experiment", own_kinds: Iterable[type] = ()
    ) -> "Experiment":
        """The experiment that `to_json` made `data` from.

        Args:
            data: parsed JSON.
            where: what to call the origin of the data in errors.
            own_kinds: classes beside those of tvlens, a task of your own say.

        Raises:
            InputError: `data` does not describe an experiment.
        """
        experiment = from_json(data, where, own_kinds)
        if not isinstance(experiment, cls):
            name = type(experiment).__name__
            raise InputError(f"{where} is of the kind {name}, expected {cls.__name__}.")
        return experiment


class Trained(NamedTuple):
    """What training leaves of one seed."""

    experiment: Experiment
    model: Any
    history: History
