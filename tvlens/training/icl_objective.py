"""Good ICL, and with a TVP loss a task vector at a prescribed place.

Yang et al. (arXiv 2501.09240): L = L_ICL + weight * L_TVP, where L_TVP is the loss of a zero-shot
prompt into which the hidden state of the context pass is written.
"""

import enum
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.models.protocol import ModelConfig, check_causal
from tvlens.prompts import Episodes, Format, PositionIds, aligned
from tvlens.tasks import Task, fresh_queries
from tvlens.training.objectives import Draws, Losses


@runtime_checkable
class Lengths(Protocol):
    """The context lengths that the TVP loss tries."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    """It is a frozen dataclass."""

    def draw_lengths(
        self, batch: int, longest: int, *, generator: Generator
    ) -> Int[Tensor, "batch length"]:
        """Those of each episode; at least 1 each."""
        ...


@kind
@dataclass(frozen=True)
class AllLengths:
    """A TVP loss at every context length from 1 on."""

    def draw_lengths(
        self, batch: int, longest: int, *, generator: Generator
    ) -> Int[Tensor, "batch length"]:
        """The same for every episode."""
        return torch.arange(1, longest + 1, device=generator.device).expand(batch, -1)


@kind
@dataclass(frozen=True)
class LastLength:
    """A TVP loss at the full context only."""

    def draw_lengths(
        self, batch: int, longest: int, *, generator: Generator
    ) -> Int[Tensor, "batch length"]:
        """The same for every episode."""
        return torch.full((batch, 1), longest, device=generator.device)


@kind
@dataclass(frozen=True)
class RandomLengths:
    """A TVP loss at random context lengths, drawn anew for every episode."""

    k: int = 4
    """How many lengths per episode; they may coincide."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"RandomLengths needs k >= 1, got {self.k}.")

    def draw_lengths(
        self, batch: int, longest: int, *, generator: Generator
    ) -> Int[Tensor, "batch length"]:
        """Uniform over all lengths."""
        shape = (batch, self.k)
        return torch.randint(1, longest + 1, shape, generator=generator, device=generator.device)


class Query(enum.StrEnum):
    """Which x the zero-shot prompt of the TVP loss asks."""

    NEXT = "next"
    """The next example of the episode; only where the carrier has not seen it."""
    FRESH = "fresh"
    """A new example of the same function."""


@kind
@dataclass(frozen=True)
class ICLObjective:
    """The ICL loss at every context length, and a TVP loss beside it; weight 0 is vanilla training.

    Both share one pass over the context, which takes a causal model and a format whose contexts are
    beginnings of longer ones.
    """

    tvp_weight: float = 0.0
    """Weight of the TVP loss beside the ICL loss."""
    tvp_layer: int = 2
    """Layer at which the vector is read and written: 0 = embedding, l = after block l."""
    lengths: Lengths = RandomLengths()
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

    @property
    def prescribed_layer(self) -> int | None:
        """The layer at which the task vector is trained to be; None in vanilla training."""
        return self.tvp_layer if self.tvp_weight else None

    def check(self, format: Format, model: ModelConfig) -> None:
        """Raise InputError if it makes no sense for a format and depth."""
        if not format.prefixes:
            raise InputError(
                "The ICL loss, and with it the TVP loss, is of all context lengths in one pass. In "
                f"format {format.name!r} a context is no beginning of a longer one, so one pass "
                "has one answer. Take objective=QueryObjective(), or a token format."
            )
        if self.tvp_weight == 0:
            return
        if self.tvp_layer > model.n_layers:
            raise InputError(
                f"tvp_layer {self.tvp_layer} is out of range: this model has residual boundaries "
                f"0..{model.n_layers}."
            )
        if self.query is Query.NEXT and format.carrier_sees_query:
            raise InputError(
                f"In format {format.name!r} the carrier has seen the x that it answers, so a "
                "vector tested on that x could hold the answer instead of the task. Use "
                "query=fresh."
            )

    def draw(
        self, model: Any, task: Task, format: Format, episodes: Episodes, *, generator: Generator
    ) -> Draws:
        """Context lengths, and fresh queries where they are asked for."""
        if self.tvp_weight == 0:
            return {}
        longest = episodes.shots - 1
        draws = {"lengths": self.lengths.draw_lengths(episodes.batch, longest, generator=generator)}
        if self.query is Query.FRESH:
            draws |= vars(fresh_queries(task, episodes, generator=generator))
        return draws

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
        """The losses of one batch, the same at every step.

        The ICL loss is the mean over context lengths 0 .. shots - 1.
        """
        # Describing an experiment needs no TransformerLens.
        from tvlens.training.packed_pass import packed_outputs

        check_causal(model, "The ICL loss of all context lengths in one pass")
        prompt = format.context(episodes)
        answers = prompt.answers.only
        if self.tvp_weight == 0:
            outputs = model(prompt.inputs, prompt.position_ids, only=answers)
            icl = task.loss(outputs, episodes.target).mean() / task.scale
            return Losses(icl, icl, torch.full_like(icl, torch.nan))

        queries, lengths = episodes, draws["lengths"]
        if self.query is Query.FRESH:
            queries = Episodes(draws["x"], draws["y"], draws["target"], draws["params"])
        outputs = packed_outputs(
            model,
            format,
            aligned(prompt),
            aligned(format.zero_shot(queries, lengths, self.position_ids)),
            lengths,
            self.tvp_layer,
            stop_gradient=self.stop_gradient,
        )
        icl = task.loss(outputs.context, episodes.target).mean() / task.scale
        targets = queries.target.take_along_dim(lengths[..., None], dim=1)
        tvp = task.loss(outputs.prompted, targets).mean() / task.scale
        return Losses(icl + self.tvp_weight * tvp, icl, tvp)
