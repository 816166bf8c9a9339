"""Contexts of another length or order."""

from dataclasses import dataclass

import torch
from torch import Generator

from tvlens.base.errors import InputError
from tvlens.shifts.base import Shift, Trial
from tvlens.tasks import Task


@dataclass(frozen=True)
class ContextLength(Shift):
    """More or fewer examples: the first ones, or all and then further ones."""

    examples: int
    """Length of the context."""

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise InputError(f"A context needs at least 1 example, got {self.examples}.")

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"{self.examples} examples"

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Longer or shorter contexts of the same functions."""
        old = trial.context
        kept = torch.arange(min(self.examples, trial.examples), device=old.x.device)
        if self.examples <= trial.examples:
            return trial.selecting(kept[None])
        more = self.examples - trial.examples
        further = task.sample_inputs(old.params, more, generator=generator)
        x = torch.cat([old.x, further], dim=1)
        longer = trial.redrawn(task, context_x=x, generator=generator)
        return longer.showing(torch.cat([old.y, longer.context.y[:, trial.examples :]], dim=1))


@dataclass(frozen=True)
class ShuffledOrder(Shift):
    """The examples of each context in a random order.

    Where they were drawn independently nothing has changed on average: the control of the others.
    """

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "context in another order"

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """Reordered contexts."""
        shape = (trial.context.batch, trial.examples)
        order = torch.rand(shape, generator=generator, device=trial.context.x.device).argsort(1)
        return trial.selecting(order)
