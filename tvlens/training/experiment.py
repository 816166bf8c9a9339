"""What is trained: one frozen object that determines a run, up to the rounding of its device."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Generator
from torch.nn.utils import clip_grad_norm_

from tvlens.base.config import from_json, to_json
from tvlens.base.errors import InputError
from tvlens.models import TransformerConfig
from tvlens.prompts import ZXY, Episodes, TokenFormat
from tvlens.tasks import (
    Bijections,
    LinearRegression,
    MapKind,
    Relations,
    Sinusoid,
    Task,
    TokenOffset,
)
from tvlens.training.objectives import (
    AllLengths,
    LastLength,
    Objective,
    RandomLengths,
    check_objective,
)
from tvlens.training.older_files import as_today
from tvlens.training.optimization import Adam, Muon, Schedule

if TYPE_CHECKING:
    import tvlens.models
    from tvlens.training.losses import Losses


@dataclass(frozen=True)
class TrainConfig:
    """Length and manner of training."""

    steps: int = 10_000
    """Number of optimiser steps; every one sees fresh episodes."""
    batch: int = 64
    """Episodes per step."""
    examples: int = 12
    """Longest context: an episode has this many examples and then a query."""
    optimizer: Adam | Muon = Adam()
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


Kind = TypeVar("Kind", bound="SeededExperiment")


class SeededExperiment:
    """What experiments have in common: data of their seed, bounded gradients, a form in files.

    One of your own is a frozen dataclass, like `Experiment`.
    """

    PARTS: ClassVar[tuple[type, ...]]
    """The classes that its JSON may name, beside its own."""
    train: TrainConfig
    seed: int

    def data_generator(self, device: torch.device) -> Generator:
        """The source of the training data, on the device that trains."""
        return torch.Generator(device).manual_seed(self.seed + 1_000_003)

    def clip_gradients(self, model: torch.nn.Module) -> None:
        """Bound the length of the gradient."""
        clip_grad_norm_(model.parameters(), self.train.clip_norm)

    def to_json(self) -> dict[str, Any]:
        """As nested JSON objects."""
        return to_json(self)

    @classmethod
    def from_json(
        cls: type[Kind], data: Any, where: str = "the experiment", own_kinds: Iterable[type] = ()
    ) -> Kind:
        """The experiment that `to_json` made `data` from.

        Args:
            data: parsed JSON.
            where: what to call the origin of the data in errors.
            own_kinds: classes beside those of tvlens, a task of your own say.

        Raises:
            InputError: `data` does not describe an experiment of this class.
        """
        experiment = from_json(as_today(data), [cls, *cls.PARTS, *own_kinds], where)
        if not isinstance(experiment, cls):
            kind = type(experiment).__name__
            raise InputError(f"{where} is of the kind {kind}, expected {cls.__name__}.")
        return experiment


@dataclass(frozen=True)
class Experiment(SeededExperiment):
    """A task, how it is shown, a model, and how it is trained."""

    PARTS = (
        LinearRegression,
        Sinusoid,
        TokenOffset,
        Bijections,
        Relations,
        MapKind,
        TokenFormat,
        TransformerConfig,
        Objective,
        AllLengths,
        LastLength,
        RandomLengths,
        TrainConfig,
        Adam,
        Muon,
    )
    task: LinearRegression | Sinusoid | TokenOffset | Bijections | Relations | Task = (
        LinearRegression()
    )
    """What is learned in context."""
    format: TokenFormat = ZXY
    """How examples become tokens."""
    model: TransformerConfig = TransformerConfig()
    """The transformer."""
    objective: Objective = Objective()
    """The loss."""
    train: TrainConfig = TrainConfig()
    """The training."""
    seed: int = 0
    """Seed of initial weights and training data."""

    def __post_init__(self) -> None:
        check_objective(self.objective, self.format, self.model.n_layers)

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> "tvlens.models.HookedTransformer":
        """The untrained model, with the weights that training starts from."""
        # TransformerLens takes longer to import than all else here; describing needs none of it.
        from tvlens.models import HookedTransformer

        return HookedTransformer(
            self.model,
            self.format.d_in(self.task.d_x, self.task.d_y),
            self.task.d_y,
            generator=torch.Generator().manual_seed(self.seed),
            device=device,
            dtype=dtype,
        )

    def losses(
        self,
        model: "tvlens.models.HookedTransformer",
        episodes: Episodes,
        *,
        generator: Generator,
        step: int,
    ) -> "Losses":
        """The losses of a batch; see `tvlens.training.losses`. They are the same at every step."""
        from tvlens.training.losses import losses

        return losses(model, self.task, self.format, episodes, self.objective, generator=generator)
