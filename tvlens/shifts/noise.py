"""Labels that lie: noise, outliers, flipped symbols, one corrupted example. Targets stay clean."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.shifts.base import Shift, Trial, are_symbols, require_numbers
from tvlens.tasks import Task, TokenOffset


@dataclass(frozen=True)
class Noise(Shift):
    """A shift of the context's labels that has a level; at level 0 it changes nothing.

    The same generator draws the same noise at every level, only more of it.
    """

    level: float
    """How much of it, in its `unit`."""
    kind: ClassVar[str]
    """What noises that differ in level have in common."""
    unit: ClassVar[str]
    """What the level counts."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"{self.kind} {self.level:g}"


@dataclass(frozen=True)
class LabelNoise(Noise):
    """Gaussian noise on the labels of the context.

    Its standard deviation is `level` sqrt(Var(y) / d_x), with the task's `scale` for Var(y): for
    linear regression with x and w of unit variance that is `level` itself, and for any regression
    the noise of as many inputs has the same share of the variance of y.
    """

    kind: ClassVar[str] = "label noise"
    unit: ClassVar[str] = "standard deviation / sqrt(Var y / d)"

    def __post_init__(self) -> None:
        if self.level < 0:
            raise InputError(f"The level of label noise is {self.level}; give 0 or more.")

    def check(self, task: Task, trial: Trial) -> None:
        """Labels must be numbers."""
        require_numbers(self, task, trial.context.y, "labels")

    def standard_deviation(self, task: Task) -> float:
        """The noise's standard deviation, in units of y."""
        return self.level * math.sqrt(task.scale / task.d_x)

    def aware(self, task: Task) -> Task | None:
        """The task with this noise beside its own, if it has a field `noise`."""
        own = getattr(task, "noise", None)
        if self.level == 0 or own is None or not dataclasses.is_dataclass(task):
            return task if self.level == 0 else None
        return dataclasses.replace(task, noise=math.hypot(own, self.standard_deviation(task)))

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Noisy labels."""
        y = trial.context.y
        noise = torch.randn(y.shape, generator=generator, device=y.device)
        return trial.showing(y + self.standard_deviation(task) * noise)


@dataclass(frozen=True)
class OutlierLabels(Noise):
    """Each label of the context is, with probability `level`, that of another function at its x."""

    kind: ClassVar[str] = "outlier labels"
    unit: ClassVar[str] = "share of labels replaced"

    def __post_init__(self) -> None:
        _check_share(self.level, self.kind)

    def aware(self, task: Task) -> Task | None:
        """No task's oracle expects outliers; with symbols, the most frequent function is the best
        guess anyway, so that the task's own oracle serves.
        """
        return task if self.level == 0 or isinstance(task, TokenOffset) else None

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Labels with outliers."""
        y, other = trial.context.y, _labels_of_others(task, trial, generator)
        return trial.showing(torch.where(_chosen(y, self.level, generator), other, y))


@dataclass(frozen=True)
class TokenFlips(Noise):
    """Each label of the context is, with probability `level`, replaced by a uniform symbol."""

    kind: ClassVar[str] = "token flips"
    unit: ClassVar[str] = "share of labels replaced"

    def __post_init__(self) -> None:
        _check_share(self.level, self.kind)

    def check(self, task: Task, trial: Trial) -> None:
        """Labels must be symbols."""
        if not are_symbols(trial.context.y):
            raise InputError(
                f"{self.name!r} needs labels that are one-hot symbols, and {type(task).__name__} "
                "has numbers. TokenOffset can take it; use LabelNoise or OutlierLabels here."
            )

    def aware(self, task: Task) -> Task | None:
        """A token offset with as many flips; None for other tasks."""
        if self.level == 0 or not isinstance(task, TokenOffset):
            return task if self.level == 0 else None
        flipped = 1 - (1 - task.noise) * (1 - self.level)
        return dataclasses.replace(task, noise=min(flipped, 1 - 1e-9))

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Labels with flips."""
        y = trial.context.y
        symbols = torch.randint(y.shape[-1], y.shape[:2], generator=generator, device=y.device)
        flipped = torch.nn.functional.one_hot(symbols, y.shape[-1]).to(y)
        return trial.showing(torch.where(_chosen(y, self.level, generator), flipped, y))


@dataclass(frozen=True)
class CorruptedExample(Shift):
    """The label of one example of the context is that of another function at the same x."""

    position: int = 1
    """Which example, counted from 1; beyond the context nothing is changed."""

    def __post_init__(self) -> None:
        if self.position < 1:
            raise InputError(f"Examples are counted from 1, so none has position {self.position}.")

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"example {self.position} corrupted"

    def aware(self, task: Task) -> Task | None:
        """No oracle expects it; with symbols the task's own serves, as for outliers."""
        return task if isinstance(task, TokenOffset) else None

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """One wrong label."""
        y, other = trial.context.y, _labels_of_others(task, trial, generator)
        place = torch.arange(1, trial.examples + 1, device=y.device)[None, :, None]
        return trial.showing(torch.where(place == self.position, other, y))


LABEL_NOISE_LEVELS = (0.1, 0.25, 0.5, 1.0, 2.0)
OUTLIER_LEVELS = (0.05, 0.1, 0.2, 0.4)


def noise_grid(
    task: Task,
    trial: Trial,
    label_noise: Sequence[float] = LABEL_NOISE_LEVELS,
    replaced: Sequence[float] = OUTLIER_LEVELS,
) -> tuple[Noise, ...]:
    """Every kind of noise that a task can take, at several levels.

    Args:
        label_noise: levels of `LabelNoise`, for tasks whose labels are numbers.
        replaced: levels of `OutlierLabels`, and of `TokenFlips` for tasks whose labels are symbols.
    """
    outliers = tuple(OutlierLabels(level) for level in replaced)
    if are_symbols(trial.context.y):
        return (*(TokenFlips(level) for level in replaced), *outliers)
    return (*(LabelNoise(level) for level in label_noise), *outliers)


def _labels_of_others(
    task: Task, trial: Trial, generator: Generator
) -> Float[Tensor, "batch shot d_y"]:
    """At every x of the context the label of a function drawn for it alone."""
    x = rearrange(trial.context.x, "batch shot d -> (batch shot) 1 d")
    y = task.apply(task.sample_params(len(x), generator=generator), x)
    y = task.corrupt(y, generator=generator)
    return rearrange(y, "(batch shot) 1 d -> batch shot d", shot=trial.examples)


def _chosen(y: Float[Tensor, "batch shot d_y"], share: float, generator: Generator) -> Tensor:
    """Which labels are replaced, "batch shot 1"; with a larger share these, and more."""
    return torch.rand(*y.shape[:2], 1, generator=generator, device=y.device) < share


def _check_share(level: float, kind: str) -> None:
    if not 0 <= level <= 1:
        raise InputError(f"The level of {kind} is {level}; give a share between 0 and 1.")
