"""What a task may say of its parameters, for probes and figures. All of it is optional."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import Episodes
from tvlens.tasks.base import Task


@dataclass(frozen=True)
class Parameter:
    """A column of a task's `params`."""

    name: str
    """What it is called in figures and files."""
    period: float | None = None
    """If given, values that differ by a period mean the same: an angle, an offset mod V."""


@runtime_checkable
class Described(Protocol):
    """A task that names its parameters."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """One for each column of `params`."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A task that says what a linear probe should look for."""

    def targets(self, params: Float[Tensor, "batch d_params"]) -> Mapping[str, Tensor]:
        """Numbers (batch,) by name: those that the answer depends on linearly, if there are any."""
        ...


@runtime_checkable
class Estimated(Protocol):
    """A task that knows how much a context tells of its probe targets."""

    def estimate(
        self, x: Float[Tensor, "batch shot d_x"], y: Float[Tensor, "batch shot d_y"]
    ) -> Float[Tensor, "batch d_target"]:
        """The best estimate of the probe targets from the examples (x, y), of which there may be
        none. The posterior mean has the least squared error that any function of the context can
        have, and so is the ceiling of every probe.
        """
        ...


def describe_parameters(task: Task, count: int) -> tuple[Parameter, ...]:
    """The parameters in the order of the columns of `params`; numbered if the task has no names.

    Raises:
        InputError: the task names more or fewer than it has.
    """
    if not isinstance(task, Described):
        return tuple(Parameter(f"parameter {index}") for index in range(1, count + 1))
    if len(task.parameters) != count:
        raise InputError(
            f"{type(task).__name__} describes {len(task.parameters)} parameters, but its params "
            f"have {count} columns; `parameters` must hold one for each."
        )
    return task.parameters


def probe_targets(
    task: Task, params: Float[Tensor, "batch d_params"]
) -> dict[str, Float[Tensor, " batch"]]:
    """What a linear probe looks for, by name.

    If the task does not say, its params; of those with a period the cosine and sine, since a number
    that jumps back to 0 is no linear function of anything continuous.
    """
    if isinstance(task, Probed):
        return dict(task.targets(params))
    targets: dict[str, Tensor] = {}
    for column, parameter in enumerate(describe_parameters(task, params.shape[1])):
        values = params[:, column]
        if parameter.period is None:
            targets[parameter.name] = values
        else:
            angle = values * (2 * math.pi / parameter.period)
            targets[f"cos {parameter.name}"] = angle.cos()
            targets[f"sin {parameter.name}"] = angle.sin()
    return targets


def best_estimates(
    task: Task, episodes: Episodes
) -> Float[Tensor, "batch examples d_target"] | None:
    """The best estimates of the probe targets after 0, 1, 2, .. examples; None if unknown."""
    if not isinstance(task, Estimated):
        return None
    lengths = range(episodes.shots)
    estimates = [task.estimate(episodes.x[:, :n], episodes.y[:, :n]) for n in lengths]
    return torch.stack(estimates, dim=1)
