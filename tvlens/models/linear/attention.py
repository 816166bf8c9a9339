"""Linear attention: what a layer's weights make of sources and destinations."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tvlens.models.linear.config import AttentionWeights, FirstLayer, LinearConfig
from tvlens.prompts import ColumnFormat, Role


class Scores(NamedTuple):
    """How much each destination takes of each source: queries . keys + bias."""

    queries: Float[Tensor, "batch destination d_key"]
    keys: Float[Tensor, "batch source d_key"]
    bias: Float[Tensor, "#batch destination source"] | None

    def mix(
        self, sources: Float[Tensor, "batch source width"]
    ) -> Float[Tensor, "batch destination width"]:
        """The sum of the sources by their scores. Those of content are never formed: there is no
        softmax, so keys and sources may be multiplied first, which is less.
        """
        mixed = self.queries @ (self.keys.mT @ sources)
        if self.bias is None:
            return mixed
        if self.bias.shape[0] > 1:
            return mixed + self.bias @ sources
        # One product of large matrices; `@` would make one of small ones for each prompt.
        return mixed + torch.einsum("ds,bsw->bdw", self.bias[0], sources)

    def mix_causally(
        self, sources: Float[Tensor, "batch source width"], only: slice
    ) -> Float[Tensor, "batch destination width"]:
        """The same of sources that do not stand after the destination, one of `only`."""
        scores = self.queries @ self.keys.mT
        scores = scores if self.bias is None else scores + self.bias
        position = torch.arange(sources.shape[1] + 1, device=sources.device)
        return (scores * (position[:-1] <= position[only, None])) @ sources


class StructuredAttention(nn.Module):
    """V = diag(A, B) and Q = diag(C, 0, D): scores compare x halves and positions."""

    C: Tensor

    def __init__(
        self, d: int, n_positions: int, examples: int, *, scalar: bool, compares: bool
    ) -> None:
        super().__init__()
        shape = () if scalar else (d, d)
        self.d, self.n_positions, self.examples = d, n_positions, examples
        self.A = nn.Parameter(torch.empty(shape))
        """What the x half of a token gives to those that attend to it."""
        self.B = nn.Parameter(torch.empty(shape))
        """What its y half gives."""
        if compares:
            self.C = nn.Parameter(torch.empty(shape))
            """How the x halves of source (left) and destination (right) are compared."""
        else:
            self.register_buffer("C", torch.zeros(shape))
        if n_positions:
            self.D = nn.Parameter(torch.empty(n_positions, n_positions))
            """Score of each source (row) and destination (column)."""

    def values(
        self, mixed: Float[Tensor, "batch destination width"]
    ) -> Float[Tensor, "batch destination width"]:
        """V z / n for each token."""
        A, B = self.A / self.examples, self.B / self.examples
        if A.dim() == 0:
            return mixed * torch.cat([A.expand(self.d), B.expand(self.d)])
        x, y = mixed.split(self.d, -1)
        return torch.cat([x @ A.T, y @ B.T], -1)

    def scores(
        self,
        sources: Float[Tensor, "batch source width"],
        destinations: Float[Tensor, "batch destination width"],
        source_ids: Int[Tensor, "#batch source"],
        destination_ids: Int[Tensor, "#batch destination"],
    ) -> Scores:
        """[Z; P]^T Q [Z; P] = X^T C X + D."""
        queries = _times(self.C, destinations[..., : self.d])
        bias = None
        if self.n_positions:
            bias = self.D[source_ids[:, None], destination_ids[:, :, None]]
        return Scores(queries, sources[..., : self.d], bias)


class LiftingAttention(nn.Module):
    """V = [0 A; 0 0] and Q = diag(0, D): x goes from the lower half of its token to the upper half
    of others, as far as they stand from each other (arXiv 2506.09048, appendix A.4).
    """

    is_x: Tensor

    def __init__(self, d: int, format: ColumnFormat, examples: int, *, scalar: bool) -> None:
        super().__init__()
        n_positions = format.n_tokens(examples + 1)
        self.d, self.examples = d, examples
        self.A = nn.Parameter(torch.empty(() if scalar else (d, d)))
        """What the y half of an x token gives to the x half of those that attend to it."""
        self.D = nn.Parameter(torch.empty(n_positions, n_positions))
        """Score of each source (row) and destination (column); rows of y tokens are not used."""
        is_x = torch.zeros(n_positions, 1)
        is_x[format.tokens(Role.X, examples + 1)] = 1.0
        self.register_buffer("is_x", is_x, persistent=False)

    def values(
        self, mixed: Float[Tensor, "batch destination width"]
    ) -> Float[Tensor, "batch destination width"]:
        """V z / n for each token."""
        y = mixed[..., self.d :]
        return torch.cat([_times(self.A / self.examples, y), torch.zeros_like(y)], -1)

    def scores(
        self,
        sources: Float[Tensor, "batch source width"],
        destinations: Float[Tensor, "batch destination width"],
        source_ids: Int[Tensor, "#batch source"],
        destination_ids: Int[Tensor, "#batch destination"],
    ) -> Scores:
        """D alone, from x tokens."""
        bias = (self.D * self.is_x)[source_ids[:, None], destination_ids[:, :, None]]
        return Scores(destinations[..., :0], sources[..., :0], bias)


class UnconstrainedAttention(nn.Module):
    """Any V and Q; Q takes a token's 2d numbers and the one-hot vector of its position."""

    def __init__(self, d: int, n_positions: int, examples: int) -> None:
        super().__init__()
        width = 2 * d
        self.n_positions, self.examples = n_positions, examples
        self.V = nn.Parameter(torch.empty(width, width))
        """What a token gives to those that attend to it."""
        self.Q = nn.Parameter(torch.empty(width + n_positions, width + n_positions))
        """How source (left) and destination (right) are compared."""

    def values(
        self, mixed: Float[Tensor, "batch destination width"]
    ) -> Float[Tensor, "batch destination width"]:
        """V z / n for each token."""
        return mixed @ (self.V.T / self.examples)

    def scores(
        self,
        sources: Float[Tensor, "batch source width"],
        destinations: Float[Tensor, "batch destination width"],
        source_ids: Int[Tensor, "#batch source"],
        destination_ids: Int[Tensor, "#batch destination"],
    ) -> Scores:
        """[Z; P]^T Q [Z; P]."""
        width = sources.shape[-1]
        keys = sources @ self.Q[:width, :width]
        if not self.n_positions:
            return Scores(destinations, keys, None)
        keys = keys + self.Q[width:, :width][source_ids]
        by_position = self.Q[:width, width:].T[destination_ids] @ sources.mT
        both = self.Q[width:, width:][source_ids[:, None], destination_ids[:, :, None]]
        return Scores(destinations, keys, by_position + both)


def attention_of(
    config: LinearConfig, layer: int, d: int, format: ColumnFormat, examples: int
) -> StructuredAttention | LiftingAttention | UnconstrainedAttention:
    """The attention of a layer, counted from 0, without values in its weights."""
    n_positions = format.n_tokens(examples + 1) if format.ordered else 0
    if config.weights is AttentionWeights.UNCONSTRAINED:
        return UnconstrainedAttention(d, n_positions, examples)
    scalar = config.weights is AttentionWeights.SCALAR
    kind = config.first_layer if layer == 0 else FirstLayer.FULL
    if kind is FirstLayer.LIFTS:
        return LiftingAttention(d, format, examples, scalar=scalar)
    compares = kind is not FirstLayer.BLIND
    return StructuredAttention(d, n_positions, examples, scalar=scalar, compares=compares)


def _times(weight: Tensor, x: Float[Tensor, "batch token d"]) -> Float[Tensor, "batch token d"]:
    """A matrix, or the multiple of the identity that a number stands for, times every x."""
    return x * weight if weight.dim() == 0 else x @ weight.T
