"""Size and kind of a `LinearTransformer`, as data."""

import enum
from dataclasses import dataclass

from tvlens.errors import InputError


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


class DropoutKind(enum.StrEnum):
    """What a dropped token loses. Nothing is rescaled for what is dropped."""

    OUTPUT = "output"
    """Its residual stream after the layer: Z O + Attn(Z) O (arXiv 2506.09048, section 3.3)."""
    INPUT = "input"
    """Its residual stream before the layer: Z O + Attn(Z O), which Proposition 5 is true of."""
    ATTENTION_INPUT = "attention_input"
    """What attention sees of it: Z + Attn(Z O), as in the paper's code."""


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


@dataclass(frozen=True)
class LinearConfig:
    """Size and kind of a `LinearTransformer`."""

    n_layers: int = 2
    """Number of attention layers."""
    weights: AttentionWeights = AttentionWeights.SCALAR
    """What is free in each layer."""
    first_compares: bool = True
    """Whether the first layer compares inputs. Without (C = 0 there, Proposition 3 of the paper)
    its scores are of positions only, and the best risk of two layers is known in closed form."""
    causal: bool = False
    """Whether a token sees only itself and those before it."""
    dropout: TokenDropout = TokenDropout()
    """What training drops."""
    init_std: float = 0.1
    """Standard deviation of all initial weights."""

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.init_std < 0:
            raise InputError(f"LinearConfig needs n_layers >= 1 and init_std >= 0, got {self}.")
        if not self.first_compares and self.weights is AttentionWeights.UNCONSTRAINED:
            raise InputError(
                "Unconstrained weights have no C that could be 0; take structured ones."
            )
