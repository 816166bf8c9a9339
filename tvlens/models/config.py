"""Size and kind of a `HookedTransformer`, as data."""

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.prompts import Format, TokenFormat
from tvlens.tasks import Task

if TYPE_CHECKING:
    import tvlens.models


class Positions(enum.StrEnum):
    """How a model knows the order of its tokens."""

    LEARNED = "learned"
    """A learned vector per position id, added to the embedding (GPT-2)."""
    ROTARY = "rotary"
    """Queries and keys rotated by their position id (RoFormer, GPT-NeoX half-split form)."""
    NONE = "none"
    """Only the causal mask tells."""


@kind
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

    def check(self, task: Task, format: Format) -> None:
        """Raise InputError unless the format is one of tokens, which it embeds."""
        _token_format(format)

    def build(
        self,
        task: Task,
        format: Format,
        examples: int,
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "tvlens.models.HookedTransformer":
        """A transformer with fresh weights; see `ModelConfig.build`."""
        # TransformerLens takes longer to import than all else here; describing needs none of it.
        from tvlens.models.hooked_transformer import HookedTransformer

        return HookedTransformer(
            self,
            _token_format(format).d_in(task.d_x, task.d_y),
            task.d_y,
            generator=generator,
            device=device,
            dtype=dtype,
        )


def _token_format(format: Format) -> TokenFormat:
    if not isinstance(format, TokenFormat):
        raise InputError(
            f"A transformer of a TransformerConfig embeds the tokens of a TokenFormat, got the "
            f"{type(format).__name__} {format.name!r}. Take a token format (zxy, arrow, ..), or "
            "another model (LinearConfig reads columns)."
        )
    return format
