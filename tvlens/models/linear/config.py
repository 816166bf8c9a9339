"""Size and kind of a `LinearTransformer`, as data."""

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.prompts import INSEPARABLE, ColumnFormat, Format, check_one_width
from tvlens.tasks import Task

if TYPE_CHECKING:
    import tvlens.models


class AttentionWeights(enum.StrEnum):
    """What is free in the value matrix V and the query-key matrix Q of a layer.

    Structured ones are V = diag(A, B) and Q = diag(C, 0, D), so that scores see x and positions
    only (Dong et al., arXiv 2506.09048, equation 6).
    """

    SCALAR = "scalar"
    """Structured; A, B and C are multiples of the identity."""
    MATRICES = "matrices"
    """Structured; A, B and C are any d x d matrices."""
    UNCONSTRAINED = "unconstrained"
    """V and Q are any matrices."""


class FirstLayer(enum.StrEnum):
    """What the first layer does; the others are as `AttentionWeights` say."""

    FULL = "full"
    """What all layers do."""
    BLIND = "blind"
    """It does not compare inputs: C = 0 (arXiv 2506.09048, Proposition 3). Its scores are of
    positions only, and the best risk of two layers is known in closed form."""
    LIFTS = "lifts"
    """It moves x from the lower half to the upper one, by positions, and does nothing else
    (appendix A.4, Theorem 7). On `INSEPARABLE` demonstrations structured layers learn nothing
    without: no x is ever where they compare."""


class DropoutKind(enum.StrEnum):
    """What a dropped token loses. Nothing is rescaled for what is dropped."""

    OUTPUT = "output"
    """Its residual stream after the layer: Z O + Attn(Z) O (arXiv 2506.09048, section 3.3)."""
    INPUT = "input"
    """Its residual stream before the layer: Z O + Attn(Z O), which Proposition 5 is true of."""
    ATTENTION_INPUT = "attention_input"
    """What attention sees of it: Z + Attn(Z O), as in the paper's code."""


@kind
@dataclass(frozen=True)
class TokenDropout:
    """Random loss of whole tokens in training, drawn anew for every layer."""

    keep: float = 1.0
    """Probability that a token stays."""
    loses: DropoutKind = DropoutKind.INPUT
    """What a dropped token loses."""

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise InputError(
                f"TokenDropout.keep is {self.keep}; it is the probability that a token stays, "
                "above 0 and at most 1."
            )


@kind
@dataclass(frozen=True)
class LinearConfig:
    """Size and kind of a `LinearTransformer`."""

    n_layers: int = 2
    """Number of attention layers."""
    weights: AttentionWeights = AttentionWeights.SCALAR
    """What is free in each layer."""
    first_layer: FirstLayer = FirstLayer.FULL
    """What the first layer does."""
    causal: bool = False
    """Whether a token sees only itself and those before it."""
    dropout: TokenDropout = TokenDropout()
    """What training drops."""
    init_std: float = 0.1
    """Standard deviation of all initial weights."""

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.init_std < 0:
            raise InputError(f"LinearConfig needs n_layers >= 1 and init_std >= 0, got {self}.")
        special = self.first_layer is not FirstLayer.FULL
        if special and self.weights is AttentionWeights.UNCONSTRAINED:
            raise InputError(
                f"A first layer that is {self.first_layer} has A, C and D of its own, which "
                "unconstrained weights have not; take structured ones."
            )
        if self.first_layer is FirstLayer.LIFTS and self.n_layers < 2:
            raise InputError(
                "A first layer that lifts x answers nothing; give it at least one layer more."
            )

    def check_first_layer(self, format: ColumnFormat) -> None:
        """Raise InputError if the first layer lifts x where the format does not have it below."""
        if self.first_layer is FirstLayer.LIFTS and format != INSEPARABLE:
            raise InputError(
                f"A first layer that lifts x needs it in the lower half, and {format.name} "
                "demonstrations have it in the upper one; take INSEPARABLE."
            )

    def check(self, task: Task, format: Format) -> None:
        """Raise InputError unless the format is one of columns, and x and y have one width."""
        self._column_format(format)
        check_one_width(task.d_x, task.d_y)

    def build(
        self,
        task: Task,
        format: Format,
        examples: int,
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "tvlens.models.LinearTransformer":
        """A linear transformer with fresh weights; see `ModelConfig.build`."""
        # TransformerLens takes longer to import than all else here; describing needs none of it.
        from tvlens.models.linear.transformer import LinearTransformer

        return LinearTransformer(
            self,
            task.d_x,
            self._column_format(format),
            examples,
            generator=generator,
            device=device,
            dtype=dtype,
        )

    def _column_format(self, format: Format) -> ColumnFormat:
        if not isinstance(format, ColumnFormat):
            raise InputError(
                "A linear transformer has no embedding: it reads the columns of a ColumnFormat, "
                f"got the {type(format).__name__} {format.name!r}. Take a column format (single, "
                "pairwise, triplet, inseparable), or another model (TransformerConfig)."
            )
        self.check_first_layer(format)
        return format
