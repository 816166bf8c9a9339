"""The loss of a batch for a linear transformer, whose prompt has one answer."""

import torch
from torch import Generator

from tvlens.demonstrations import DemonstrationFormat
from tvlens.losses import Losses
from tvlens.models import LinearTransformer
from tvlens.prompts import Episodes
from tvlens.tasks import Task


def linear_losses(
    model: LinearTransformer,
    task: Task,
    format: DemonstrationFormat,
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
    prompt = format.context(episodes)
    kept = None
    if model.config.dropout.keep < 1:
        kept = model.sample_kept(episodes.batch, generator=generator)
    icl = task.loss(model.answer(prompt, kept), episodes.target[:, -1]).mean() / task.scale
    total = icl
    if sparsity:
        total = icl + sparsity * torch.stack([w.abs().sum() for w in model.parameters()]).sum()
    return Losses(total, icl, torch.full_like(icl, torch.nan))
