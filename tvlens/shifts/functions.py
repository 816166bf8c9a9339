"""Functions from another distribution."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.shifts.base import Shift, Trial, as_fraction
from tvlens.tasks import LinearRegression, OffsetSplit, Sinusoid, Task, TokenOffset


@dataclass(frozen=True)
class ScaledOutputs(Shift):
    """y times a factor: w of a linear regression, the amplitude of a sinusoid."""

    factor: float = 2.0
    """The factor."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"y times {as_fraction(self.factor)}"

    def check(self, task: Task, trial: Trial) -> None:
        """It must be known what scales y."""
        _require(self, task, LinearRegression, Sinusoid)

    def aware(self, task: Task) -> Task | None:
        """Without noise, the oracle of linear regression needs no scale."""
        return task if isinstance(task, LinearRegression) and not task.noise else None

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Larger or smaller functions."""
        params = trial.context.params
        scales = params.new_full((params.shape[1],), self.factor)
        if isinstance(task, Sinusoid):
            scales[1] = 1.0  # The phase stays.
        return trial.redrawn(task, params=scales * params, generator=generator)


@dataclass(frozen=True)
class SparseWeights(Shift):
    """All but a few components of w are 0; the others are larger, so that `E |w|^2` stays d."""

    nonzero: int = 1
    """How many components are left; random ones in each episode."""

    def __post_init__(self) -> None:
        if self.nonzero < 1:
            raise InputError(f"SparseWeights needs nonzero >= 1, got {self.nonzero}.")

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"w with {self.nonzero} nonzero"

    def check(self, task: Task, trial: Trial) -> None:
        """There must be a w with as many components."""
        _require(self, task, LinearRegression)
        if self.nonzero > task.d_x:
            raise InputError(f"{self.name!r} asks for more than the {task.d_x} that w has.")

    def aware(self, task: Task) -> Task | None:
        """No task's oracle expects sparse weights."""
        return None

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Sparse functions."""
        w = trial.context.params
        rank = torch.rand(w.shape, generator=generator, device=w.device).argsort(-1).argsort(-1)
        sparse = w * (rank < self.nonzero) * (task.d_x / self.nonzero) ** 0.5
        return trial.redrawn(task, params=sparse, generator=generator)


@dataclass(frozen=True)
class HeavyTailedWeights(Shift):
    """The components of w have Student's t distribution with 3 degrees of freedom and variance 1.

    A Gaussian w is turned into it by a random factor for each component, so that shifted and
    unshifted functions belong together.
    """

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "w heavy-tailed"

    def check(self, task: Task, trial: Trial) -> None:
        """There must be a w."""
        _require(self, task, LinearRegression)

    def aware(self, task: Task) -> Task | None:
        """No task's oracle expects heavy tails."""
        return None

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Heavy-tailed functions."""
        w = trial.context.params
        chi_square = self._chi_square(w, generator)
        # t_3 = N / sqrt(chi^2_3 / 3) has variance 3.
        return trial.redrawn(task, params=w / chi_square.sqrt(), generator=generator)

    def _chi_square(self, w: Tensor, generator: Generator) -> Float[Tensor, "batch d"]:
        normal = torch.randn(*w.shape, 3, generator=generator, device=w.device)
        return normal.square().sum(-1)


@dataclass(frozen=True)
class HeldOutOffsets(Shift):
    """The offsets that training never drew."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "held-out offsets"

    def check(self, task: Task, trial: Trial) -> None:
        """There must be offsets, and some held out."""
        _require(self, task, TokenOffset)
        self.aware(task)

    def aware(self, task: Task) -> Task | None:
        """The task of the held-out offsets."""
        if not isinstance(task, TokenOffset):
            return None
        return dataclasses.replace(task, split=OffsetSplit.HELD_OUT)

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Other offsets."""
        held_out = self.aware(task) or task
        params = held_out.sample_params(trial.context.batch, generator=generator)
        return trial.redrawn(task, params=params, generator=generator)


def _require(shift: Shift, task: Task, *kinds: type) -> None:
    if not isinstance(task, kinds):
        names = " and ".join(kind.__name__ for kind in kinds)
        raise InputError(
            f"{shift.name!r} cannot be applied to {type(task).__name__}; {names} can take it. For "
            "a task of your own, derive a class from tvlens.shifts.Shift."
        )
