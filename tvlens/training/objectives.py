"""What training asks for: good ICL, and with a TVP loss a task vector at a prescribed place.

Yang et al. (arXiv 2501.09240): L = L_ICL + weight * L_TVP, where L_TVP is the loss of a zero-shot
prompt into which the hidden state of the context pass is written.
"""

import enum
from dataclasses import dataclass

from tvlens.base.errors import InputError
from tvlens.prompts import PositionIds, TokenFormat


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


def check_objective(objective: Objective, format: TokenFormat, n_layers: int) -> None:
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
