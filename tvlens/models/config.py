"""Size and kind of a `HookedTransformer`, as data."""

import enum
from dataclasses import dataclass

from tvlens.base.errors import InputError


class Positions(enum.StrEnum):
    """How a model knows the order of its tokens."""

    LEARNED = "learned"
    """A learned vector per position id, added to the embedding (GPT-2)."""
    ROTARY = "rotary"
    """Queries and keys rotated by their position id (RoFormer, GPT-NeoX half-split form)."""
    NONE = "none"
    """Only the causal mask tells."""


@dataclass(frozen=True)
class TransformerConfig:
    """Size and kind of a `HookedTransformer`."""

    n_layers: int = 3
    """Number of blocks."""
    d_model: int = 64
    """Width of the residual stream."""
    n_heads: int = 4
    """Attention heads per block; they share d_model evenly."""
    mlp_ratio: int = 4
    """Hidden width of the MLP in units of d_model."""
    n_ctx: int = 64
    """Length of the position table; longer prompts need rotary positions or none."""
    positions: Positions = Positions.LEARNED
    """How the model knows the order of its tokens."""
    init_std: float = 0.02
    """Standard deviation of initial weights; those that write into the residual stream are
    smaller by sqrt(2 n_layers), as in GPT-2."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "mlp_ratio", "n_ctx"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"TransformerConfig.{name} is {getattr(self, name)}; give at least 1."
                )
        if self.d_model % self.n_heads:
            raise InputError(
                f"d_model {self.d_model} cannot be shared by {self.n_heads} heads evenly; "
                "make it a multiple."
            )
        if self.positions is Positions.ROTARY and self.d_head % 2:
            raise InputError(f"Rotary positions need an even head width, got {self.d_head}.")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads
