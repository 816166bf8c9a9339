"""Inputs from another distribution (Garg et al., arXiv 2208.01066, section 4, and more)."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.shifts.base import Shift, Trial, as_fraction, require_numbers
from tvlens.tasks import Task

Inputs = Float[Tensor, "batch shot d_x"]


class Where(enum.StrEnum):
    """Whose inputs are shifted."""

    CONTEXT = "context"
    QUERY = "query"
    BOTH = "both"


@runtime_checkable
class InputShift(Shift, Protocol):
    """A shift that moves each x by itself; `transformation` is all that one must have.

    It works for any task whose x are numbers. What is drawn is drawn for each episode, and is the
    same for its context and its queries.
    """

    where: Where

    def transformation(
        self, task: Task, trial: Trial, *, generator: Generator
    ) -> Callable[[Inputs], Inputs]:
        """How x moves; called with the context's x, the queries', or both in turn."""
        ...

    def check(self, task: Task, trial: Trial) -> None:
        """Inputs must be numbers."""
        require_numbers(self, task, trial.context.x, "inputs")

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The trial with moved inputs."""
        move = self.transformation(task, trial, generator=generator)
        context_x = None if self.where is Where.QUERY else move(trial.context.x)
        query_x = None if self.where is Where.CONTEXT else move(trial.queries.x)
        return trial.redrawn(task, context_x=context_x, query_x=query_x, generator=generator)


@dataclass(frozen=True)
class ScaledInputs(InputShift):
    """x times a factor."""

    factor: float = 2.0
    """The factor."""
    where: Where = Where.BOTH
    """Whose inputs."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"x times {as_fraction(self.factor)}, {self.where}"

    def transformation(
        self, task: Task, trial: Trial, *, generator: Generator
    ) -> Callable[[Inputs], Inputs]:
        """Multiply."""
        return lambda x: self.factor * x


@dataclass(frozen=True)
class BiasedInputs(InputShift):
    """x plus a constant in every component."""

    bias: float = 1.0
    """The constant."""
    where: Where = Where.BOTH
    """Whose inputs."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"x plus {self.bias:g}, {self.where}"

    def transformation(
        self, task: Task, trial: Trial, *, generator: Generator
    ) -> Callable[[Inputs], Inputs]:
        """Add."""
        return lambda x: x + self.bias


@runtime_checkable
class StretchedInputs(InputShift, Protocol):
    """x -> T x with T = U diag(e) U^T sqrt(d / sum e^2), U a random rotation of each episode.

    T keeps the mean square of an isotropic x.
    """

    def stretches(self, d: int) -> Float[Tensor, " d"]:
        """The d eigenvalues e."""
        ...

    def check(self, task: Task, trial: Trial) -> None:
        """Inputs must be numbers, and more than one."""
        require_numbers(self, task, trial.context.x, "inputs")
        if task.d_x < 2:
            raise InputError(
                f"{self.name!r} needs x of at least 2 components, and those of "
                f"{type(task).__name__} have 1. LinearRegression can take it."
            )

    def transformation(
        self, task: Task, trial: Trial, *, generator: Generator
    ) -> Callable[[Inputs], Inputs]:
        """Multiply by T."""
        x = trial.context.x
        stretches = self.stretches(task.d_x).to(x)
        stretches = stretches * (task.d_x / stretches.square().sum()).sqrt()
        axes = _rotations(x.shape[0], task.d_x, generator).to(x)
        stretch = axes * stretches @ axes.transpose(1, 2)
        return lambda x: x @ stretch


@dataclass(frozen=True)
class SkewedInputs(StretchedInputs):
    """x has the standard deviations 1, 1/2, 1/3, .. (rescaled) along random axes."""

    where: Where = Where.BOTH
    """Whose inputs."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"x skewed, {self.where}"

    def stretches(self, d: int) -> Float[Tensor, " d"]:
        """1 / i."""
        return 1 / torch.arange(1, d + 1)


@dataclass(frozen=True)
class HalfSubspace(StretchedInputs):
    """x lies in a random subspace of half the dimensions (rounded down)."""

    where: Where = Where.BOTH
    """Whose inputs."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"x in half the space, {self.where}"

    def stretches(self, d: int) -> Float[Tensor, " d"]:
        """1 in half of the directions, 0 in the others."""
        return (torch.arange(d) < d // 2).float()


class Orthant(enum.StrEnum):
    """Where the query stands when the context lies in one orthant."""

    FREE = "query anywhere"
    SAME = "query in it"
    OPPOSITE = "query opposite"


@dataclass(frozen=True)
class OneOrthant(Shift):
    """The context's x all have the signs of one random orthant, drawn for each episode."""

    query: Orthant = Orthant.FREE
    """Where the query stands."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"context in one orthant, {self.query}"

    def check(self, task: Task, trial: Trial) -> None:
        """Inputs must be numbers."""
        require_numbers(self, task, trial.context.x, "inputs")

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The trial with moved inputs."""
        x = trial.context.x
        shape = (x.shape[0], 1, x.shape[2])
        signs = 1 - 2 * torch.randint(2, shape, generator=generator, device=x.device).to(x)
        query_x = None
        if self.query is not Orthant.FREE:
            side = 1 if self.query is Orthant.SAME else -1
            query_x = side * signs * trial.queries.x.abs()
        return trial.redrawn(task, context_x=signs * x.abs(), query_x=query_x, generator=generator)


@dataclass(frozen=True)
class OrthogonalQuery(Shift):
    """The query is projected to be orthogonal to every x of the context, and keeps its norm.

    That leaves room only while there are fewer examples than dimensions: of a longer context the
    first `task.d_x` - 1 examples are kept.
    """

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "query orthogonal to context"

    def check(self, task: Task, trial: Trial) -> None:
        """Inputs must be numbers, and more than one."""
        require_numbers(self, task, trial.context.x, "inputs")
        if task.d_x < 2:
            raise InputError(
                f"{self.name!r} needs x of at least 2 components, and those of "
                f"{type(task).__name__} have 1. LinearRegression can take it."
            )

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The trial with a shorter context and moved queries."""
        kept = min(trial.examples, task.d_x - 1)
        shorter = trial.selecting(torch.arange(kept, device=trial.context.x.device)[None])
        x, query = shorter.context.x.double(), trial.queries.x.double()
        inside = torch.linalg.pinv(x) @ x  # The projection onto the span of the context.
        outside = query - query @ inside
        outside = outside * query.norm(dim=-1, keepdim=True) / outside.norm(dim=-1, keepdim=True)
        return shorter.redrawn(task, query_x=outside.to(trial.queries.x), generator=generator)


@dataclass(frozen=True)
class RepeatedQuery(Shift):
    """Every query is one of the context's x, drawn uniformly for each."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "query repeats an example"

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The trial with other queries."""
        x = trial.context.x
        shape = (x.shape[0], trial.queries.shots, 1)
        which = torch.randint(trial.examples, shape, generator=generator, device=x.device)
        return trial.redrawn(task, query_x=x.take_along_dim(which, 1), generator=generator)


def _rotations(batch: int, d: int, generator: Generator) -> Float[Tensor, "batch d d"]:
    """Random orthogonal matrices, uniformly distributed."""
    gaussian = torch.randn(batch, d, d, generator=generator, device=generator.device)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
