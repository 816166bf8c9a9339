"""The map that two layers of linear attention make of a context."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tvlens.prompts import ColumnFormat, Role
from tvlens.theory.structured_positions import StructuredPositions


class MixingTerms(NamedTuple):
    """What a D in S_P makes of a context of triplets: K = (at_x + at_y) I + at_arrows M M^T, where
    M is the L4 of `StructuredPositions` without the query's row.
    """

    at_x: Float[Tensor, ""]
    """By the y that is moved to its x."""
    at_y: Float[Tensor, ""]
    """By the x that is moved to its y."""
    at_arrows: Float[Tensor, ""]
    """By task vectors."""


def mixing_matrix(
    D: Float[Tensor, "position position"],
    format: ColumnFormat,
    *,
    a: Float[Tensor, ""],
    b: Float[Tensor, ""],
    readout: Float[Tensor, ""],
) -> Float[Tensor, "example example"]:
    """The matrix K of a two-layer model that answers -Y K X^T x, whatever its first D.

    All that two layers with C_1 = 0 learn in context. It is K, not D, that minimisers determine:
    K = `optimal_mixing` I, of which orthogonal rows of L4 (Dong et al., arXiv 2506.09048,
    Proposition 3) are the case that treats all examples alike.

    The answer is this exactly where D moves nothing between the query and the examples and D of
    the second layer is 0; what these add does not depend on the sign of the query, or of an
    example, in the way that the target does.

    Args:
        D: of the first layer.
        format: with separate tokens for x and y.
        a: the first layer has A = a I.
        b: the first layer has B = b I.
        readout: the second layer has B C = readout I.
    """
    examples = len(D) // len(format.roles) - 1
    x, y = (format.tokens(role, examples + 1) for role in (Role.X, Role.Y))
    eye = torch.eye(len(D), dtype=D.dtype, device=D.device)
    moved_x = eye[x] + a / examples * D[x]
    moved_y = eye[y] + b / examples * D[y]
    asked = a / examples * D[x][-1, -1]
    K = moved_y[:-1, :-1] @ moved_x[:-1, :-1].T
    return readout / examples * asked * K


def mixing_terms(
    positions: StructuredPositions,
    *,
    a: Float[Tensor, ""],
    b: Float[Tensor, ""],
    readout: Float[Tensor, ""],
) -> MixingTerms:
    """The parts of `mixing_matrix` for a D in S_P (proof of Proposition 3), scale 1/n included."""
    n = len(positions.mixing) - 1
    (xx, xy), (yx, yy) = positions.example / n
    to_arrow, query = positions.to_arrow / n, positions.query / n
    gain = readout / n * a * query[0, 1]
    return MixingTerms(
        at_x=gain * b * yx * (1 + a * xx),
        at_y=gain * (1 + b * yy) * a * xy,
        at_arrows=gain * b * to_arrow[1] * a * to_arrow[0],
    )
