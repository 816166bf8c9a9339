"""The losses of a batch: in-context learning, and task-vector prompting in the same pass."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.interventions.task_vectors import carrier_vectors, prompted_outputs
from tvlens.models import HookedTransformer
from tvlens.prompts import Episodes, TokenFormat
from tvlens.tasks import Task, fresh_queries
from tvlens.training.objectives import AllLengths, LastLength, Objective, Query, RandomLengths


class Losses(NamedTuple):
    """Mean losses of a batch, divided by the task's scale; `tvp` is nan in vanilla training."""

    total: Float[Tensor, ""]
    icl: Float[Tensor, ""]
    tvp: Float[Tensor, ""]


def losses(
    model: HookedTransformer,
    task: Task,
    format: TokenFormat,
    episodes: Episodes,
    objective: Objective,
    *,
    generator: Generator,
) -> Losses:
    """The losses of one batch; the ICL and the TVP loss share one pass over the context.

    The ICL loss is the mean over context lengths 0 .. shots - 1.

    Args:
        generator: draws context lengths and fresh queries; on the episodes' device.
    """
    prompt = format.context(episodes)
    answers = prompt.answers.only
    if objective.tvp_weight == 0:
        outputs = model(prompt.inputs, prompt.position_ids, only=answers)
        icl = task.loss(outputs, episodes.target).mean() / task.scale
        return Losses(icl, icl, torch.full_like(icl, torch.nan))

    layer = objective.tvp_layer
    residual = model(prompt.inputs, prompt.position_ids, stop_at_layer=layer)
    outputs = model(residual, prompt.position_ids, start_at_layer=layer, only=answers)
    icl = task.loss(outputs, episodes.target).mean() / task.scale

    lengths = context_lengths(objective, format, episodes, generator=generator)
    queries = episodes
    if objective.query is Query.FRESH:
        queries = fresh_queries(task, episodes, generator=generator)
    vectors = carrier_vectors(format, prompt, residual, lengths)
    if objective.stop_gradient:
        vectors = vectors.detach()
    zero_shot = format.zero_shot(queries, lengths, objective.position_ids)
    prompted = prompted_outputs(model, format, zero_shot, vectors, layer)
    targets = queries.target.take_along_dim(lengths[..., None], dim=1)
    tvp = task.loss(prompted, targets).mean() / task.scale
    return Losses(icl + objective.tvp_weight * tvp, icl, tvp)


def context_lengths(
    objective: Objective, format: TokenFormat, episodes: Episodes, *, generator: Generator
) -> Int[Tensor, "batch length"]:
    """The context lengths that the TVP loss tries in each episode; at least 1 each."""
    batch, longest, device = episodes.batch, episodes.shots - 1, episodes.x.device
    match objective.lengths:
        case AllLengths():
            return torch.arange(1, longest + 1, device=device).expand(batch, -1)
        case LastLength():
            return torch.full((batch, 1), longest, device=device)
        case RandomLengths(k):
            return torch.randint(1, longest + 1, (batch, k), generator=generator, device=device)
