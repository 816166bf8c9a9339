"""What training minimises: the ICL loss, and the TVP loss that asks for a vector at a place.

Yang et al. (arXiv 2501.09240): L = L_ICL + weight * L_TVP, where L_TVP is the loss of a zero-shot
prompt into which the hidden state of the context pass is written.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.errors import InputError
from tvlens.models import HookedTransformer
from tvlens.prompts import Episodes, PositionIds, PromptFormat
from tvlens.task_vectors import carrier_vectors, prompted_outputs
from tvlens.tasks import Task, fresh_queries


@dataclass(frozen=True)
class AllLengths:
    """A TVP loss at every context length from 1 on."""


@dataclass(frozen=True)
class LastLength:
    """A TVP loss at the full context only."""


@dataclass(frozen=True)
class RandomLengths:
    """A TVP loss at random context lengths, drawn anew for every episode."""

    k: int = 4
    """How many lengths per episode; they may coincide."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"RandomLengths needs k >= 1, got {self.k}.")


class Query(enum.StrEnum):
    """Which x the zero-shot prompt of the TVP loss asks."""

    NEXT = "next"
    """The next example of the episode; only where the carrier has not seen it."""
    FRESH = "fresh"
    """A new example of the same function."""


@dataclass(frozen=True)
class Objective:
    """Weight and kind of the TVP loss; weight 0 is vanilla training."""

    tvp_weight: float = 0.0
    """Weight of the TVP loss beside the ICL loss."""
    tvp_layer: int = 2
    """Layer at which the vector is read and written: 0 = embedding, l = after block l."""
    lengths: AllLengths | LastLength | RandomLengths = RandomLengths()
    """Context lengths whose vectors are tried."""
    query: Query = Query.NEXT
    """Which x is asked."""
    position_ids: PositionIds = PositionIds.RESET
    """Position ids of the zero-shot prompt."""
    stop_gradient: bool = False
    """Whether the TVP loss trains only the reading of the vector, not its formation."""

    def __post_init__(self) -> None:
        if self.tvp_weight < 0 or self.tvp_layer < 0:
            raise InputError(f"tvp_weight and tvp_layer cannot be negative, got {self}.")


class Losses(NamedTuple):
    """Mean losses of a batch, divided by the task's scale; `tvp` is nan in vanilla training."""

    total: Float[Tensor, ""]
    icl: Float[Tensor, ""]
    tvp: Float[Tensor, ""]


def check_objective(objective: Objective, format: PromptFormat, n_layers: int) -> None:
    """Raise InputError if the objective makes no sense for a format and depth."""
    if objective.tvp_weight == 0:
        return
    if objective.tvp_layer > n_layers:
        raise InputError(
            f"tvp_layer {objective.tvp_layer} is out of range: this model has residual boundaries "
            f"0..{n_layers}."
        )
    if objective.query is Query.NEXT and format.carrier_sees_query:
        raise InputError(
            f"In format {format.name!r} the carrier has seen the x that it answers, so a vector "
            "tested on that x could hold the answer instead of the task. Use query=fresh."
        )


def losses(
    model: HookedTransformer,
    task: Task,
    format: PromptFormat,
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
    answers = format.answers(episodes.shots)
    if objective.tvp_weight == 0:
        outputs = model(prompt.inputs, prompt.position_ids)[:, answers]
        icl = task.loss(outputs, episodes.target).mean() / task.scale
        return Losses(icl, icl, torch.full_like(icl, torch.nan))

    layer = objective.tvp_layer
    residual = model(prompt.inputs, prompt.position_ids, stop_at_layer=layer)
    outputs = model(residual, prompt.position_ids, start_at_layer=layer)[:, answers]
    icl = task.loss(outputs, episodes.target).mean() / task.scale

    lengths = context_lengths(objective, format, episodes, generator=generator)
    queries = episodes
    if objective.query is Query.FRESH:
        queries = fresh_queries(task, episodes, generator=generator)
    vectors = carrier_vectors(format, residual, lengths, episodes.shots)
    if objective.stop_gradient:
        vectors = vectors.detach()
    zero_shot = format.zero_shot(queries, lengths, objective.position_ids)
    prompted = prompted_outputs(model, format, zero_shot, vectors, layer)
    targets = queries.target.take_along_dim(lengths[..., None], dim=1)
    tvp = task.loss(prompted, targets).mean() / task.scale
    return Losses(icl + objective.tvp_weight * tvp, icl, tvp)


def context_lengths(
    objective: Objective, format: PromptFormat, episodes: Episodes, *, generator: Generator
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
