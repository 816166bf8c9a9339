"""The set S_P that D has minimisers in (Dong et al., arXiv 2506.09048, Theorems 1, 2 and 7).

Rows of D are sources, columns destinations. In blocks of one example each, S_P is

    diag(I_n kron L1, L2) + I_{n+1} kron L3 + L4 kron L5:

every example treats its own x and y alike (L1), the query's are moved (L2), arrows are magnified
(L3), and the x and y of example i go to arrow j with weight L4[i, j] (L4 kron L5). Pairs have L1
and L2 only, inseparable ones too.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import TRIPLET, ColumnFormat, Role


@dataclass(frozen=True)
class StructuredPositions:
    """A point of S_P for triplets."""

    example: Float[Tensor, "2 2"]
    """L1: from x and y (rows) to x and y (columns) of one example."""
    query: Float[Tensor, "2 2"]
    """L2: the same of the query, whose y is the token that is read out."""
    arrow: Float[Tensor, ""]
    """L3: from each arrow to itself."""
    mixing: Float[Tensor, "shot shot"]
    """L4: weight of each example in each arrow, the query's row and column last."""
    to_arrow: Float[Tensor, " 2"]
    """L5: from x and from y to arrows."""

    def matrix(self) -> Float[Tensor, "position position"]:
        """D itself."""
        shots = len(self.mixing)
        blocks = self.mixing.new_zeros(3, 3, shots, shots)
        asked = self.mixing.new_zeros(shots)
        asked[-1] = 1.0
        within = self.example[..., None] * (1 - asked) + self.query[..., None] * asked
        blocks[0::2, 0::2] = torch.diag_embed(within)
        blocks[1, 1] = self.arrow * torch.eye(shots, dtype=asked.dtype, device=asked.device)
        blocks[0::2, 1] = self.to_arrow[:, None, None] * self.mixing
        return _joined(blocks)


def project_exchangeable(
    D: Float[Tensor, "position position"], format: ColumnFormat
) -> Float[Tensor, "position position"]:
    """The nearest point of S_P without task vectors, L4 = 0, where examples may be exchanged.

    The whole gradient of the risk is in this set at every point of it, for any number of layers.
    This is a linear map and an orthogonal projection.

    Raises:
        InputError: the format has no separate tokens for x and y.
    """
    blocks = _blocks(D, format)
    projected = torch.zeros_like(blocks)
    ends = [format.roles.index(Role.X), format.roles.index(Role.Y)]
    for source in ends:
        for destination in ends:
            diagonal = blocks[source, destination].diagonal()
            means = torch.cat([diagonal[:-1].mean().expand(len(diagonal) - 1), diagonal[-1:]])
            projected[source, destination] = means.diag()
    if Role.ARROW in format.roles:
        arrow = format.roles.index(Role.ARROW)
        diagonal = blocks[arrow, arrow].diagonal()
        projected[arrow, arrow] = diagonal.mean().expand_as(diagonal).diag()
    return _joined(projected)


def task_vector_part(
    D: Float[Tensor, "position position"],
) -> tuple[Float[Tensor, " 2"], Float[Tensor, " 2"], Float[Tensor, "shot shot"]]:
    """How examples go to arrows in the D of triplets, as L4 kron L5.

    Returns:
        The two singular values of the entries from x and y to arrows, of which the second is 0 in
        S_P; L5 of length 1; and the L4 that is best with it. Their signs are arbitrary together.
    """
    blocks = _blocks(D, TRIPLET)
    formation = blocks[0::2, 1]
    u, s, vh = torch.linalg.svd(formation.flatten(1), full_matrices=False)
    return s, u[:, 0], s[0] * vh[0].view_as(formation[0])


def project_task_vectors(
    D: Float[Tensor, "position position"],
) -> Float[Tensor, "position position"]:
    """The nearest point of S_P, task vectors included, for triplets. S_P is no linear space."""
    _, to_arrow, mixing = task_vector_part(D)
    formation = torch.zeros_like(_blocks(D, TRIPLET))
    formation[0::2, 1] = to_arrow[:, None, None] * mixing
    return project_exchangeable(D, TRIPLET) + _joined(formation)


def project_tangent(
    change: Float[Tensor, "position position"],
    D: Float[Tensor, "position position"],
    format: ColumnFormat,
) -> Float[Tensor, "position position"]:
    """The part of a change of D that stays in S_P to first order.

    The derivative of the projection at the point of S_P nearest to D, and an orthogonal projection.
    Where L4 = 0, S_P has a corner and no tangents; L5 is then arbitrary.
    """
    inside = project_exchangeable(change, format)
    if Role.ARROW not in format.roles:
        return inside
    _, to_arrow, mixing = task_vector_part(D)
    lead = mixing / mixing.norm().clamp_min(torch.finfo(D.dtype).tiny)
    formation = _blocks(change, format)[0::2, 1]
    rest = formation - to_arrow[:, None, None] * torch.einsum("s,sij->ij", to_arrow, formation)
    rest = rest - (rest * lead).sum((1, 2))[:, None, None] * lead
    kept = torch.zeros_like(_blocks(change, format))
    kept[0::2, 1] = formation - rest
    return inside + _joined(kept)


def _blocks(
    D: Float[Tensor, "position position"], format: ColumnFormat
) -> Float[Tensor, "role role shot shot"]:
    """D by source role, destination role, source example, destination example."""
    size = len(format.roles)
    if size == 1 or len(D) % size:
        raise InputError(
            f"A D of {len(D)} positions does not fit {format.name} demonstrations, which have "
            f"{size} tokens each; S_P needs separate ones for x and y."
        )
    return rearrange(D, "(i s) (j t) -> s t i j", s=size, t=size)


def _joined(
    blocks: Float[Tensor, "role role shot shot"],
) -> Float[Tensor, "position position"]:
    return rearrange(blocks, "s t i j -> (i s) (j t)")
