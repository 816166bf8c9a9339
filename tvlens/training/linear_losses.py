"""The loss of a batch for a linear transformer, whose prompt has one answer."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from tvlens.models import LinearTransformer
from tvlens.models.linear.config import LinearConfig
from tvlens.prompts import ColumnFormat, Episodes, Prompt
from tvlens.tasks import Task
from tvlens.training.losses import Losses


@runtime_checkable
class Answering(Protocol):
    """One linear transformer, or several that share the prompts of a batch."""

    @property
    def config(self) -> LinearConfig:
        """Size and kind."""
        ...

    def answer(
        self, prompt: Prompt, kept: Bool[Tensor, "layer batch position"] | None = None
    ) -> Float[Tensor, "batch d"]:
        """The predictions for the queries."""
        ...

    def sample_kept(
        self, batch: int, *, generator: Generator
    ) -> Bool[Tensor, "layer batch position"]:
        """Draw which tokens dropout leaves."""
        ...


def linear_losses(
    model: LinearTransformer,
    task: Task,
    format: ColumnFormat,
    episodes: Episodes,
    sparsity: float,
    *,
    generator: Generator,
) -> Losses:
    """The loss of the last example of each episode, asked after all others.

    Args:
        sparsity: weight of the sum of the absolute values of all weights, in `total` only.
        generator: draws the tokens that the model's dropout loses; on the episodes' device.
    """
    icl = query_losses(model, task, format, episodes, generator=generator).mean()
    total = icl
    if sparsity:
        total = icl + sparsity * torch.stack([w.abs().sum() for w in model.parameters()]).sum()
    return Losses(total, icl, torch.full_like(icl, torch.nan))


def query_losses(
    model: Answering,
    task: Task,
    format: ColumnFormat,
    episodes: Episodes,
    *,
    generator: Generator,
) -> Float[Tensor, " episode"]:
    """The loss of each episode's last example, divided by the task's scale."""
    prompt = format.context(episodes)
    kept = None
    if model.config.dropout.keep < 1:
        kept = model.sample_kept(episodes.batch, generator=generator)
    return task.loss(model.answer(prompt, kept), episodes.target[:, -1]) / task.scale
