"""The loss of a prompt that has one answer, as those of linear transformers do."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.models.protocol import ModelConfig
from tvlens.prompts import Episodes, Format
from tvlens.tasks import Task
from tvlens.training.objectives import Draws, Losses


@kind
@dataclass(frozen=True)
class Sparsity:
    """A cost of every weight that is not 0, once the model has learned what it can without."""

    weight: float = 0.0
    """Weight of the sum of the absolute values of all weights in the loss."""
    after: int = 2000
    """Steps without it. From the start on it would hold all weights at 0."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.after < 0:
            raise InputError(f"Sparsity needs weight >= 0 and after >= 0, got {self}.")

    def at(self, step: int) -> float:
        """The weight after a number of steps."""
        return self.weight if step >= self.after else 0.0


@kind
@dataclass(frozen=True)
class QueryObjective:
    """The loss of the last example of each episode, asked after all others."""

    sparsity: Sparsity = Sparsity()
    """What weights cost, in `total` only."""

    prescribed_layer = None
    """No task vector is trained to be anywhere."""

    def check(self, format: Format, model: ModelConfig) -> None:
        """Raise InputError where a prompt has more than one answer."""
        if format.prefixes:
            raise InputError(
                f"QueryObjective trains one answer, and a prompt of format {format.name!r} has "
                "one after every example; take ICLObjective."
            )

    def draw(
        self, model: Any, task: Task, format: Format, episodes: Episodes, *, generator: Generator
    ) -> Draws:
        """The tokens that the model's dropout leaves."""
        if model.config.dropout.keep == 1:
            return {}
        return {"kept": model.sample_kept(episodes.batch, generator=generator)}

    def losses(
        self,
        model: Any,
        task: Task,
        format: Format,
        episodes: Episodes,
        draws: Draws,
        *,
        step: int,
    ) -> Losses:
        """The mean over episodes, divided by the task's scale."""
        answers = model.answer(format.context(episodes), draws.get("kept"))
        icl = task.loss(answers, episodes.target[:, -1]).mean() / task.scale
        total, weight = icl, self.sparsity.at(step)
        if weight:
            total = icl + weight * torch.stack([w.abs().sum() for w in model.parameters()]).sum()
        return Losses(total, icl, torch.full_like(icl, torch.nan))
