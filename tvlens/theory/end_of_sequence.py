"""The empty token at the end of a prompt is no assumption: a second head can play it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Head(NamedTuple):
    """A head of linear attention: it adds V Z (Z^T Q Z + P), tokens being the columns of Z."""

    V: Float[Tensor, "width width"]
    Q: Float[Tensor, "width width"]
    P: Float[Tensor, "token token"]


def end_of_sequence_heads(
    V: Float[Tensor, "width width"],
    Q: Float[Tensor, "width width"],
    P: Float[Tensor, "end end"],
) -> tuple[Head, Head]:
    """Two heads that do without the empty last token (arXiv 2506.09048, Proposition 6).

    A layer Z + V Z M (Z^T Q Z + P), where Z has an extra last column that starts as 0 and that M
    hides as a source, equals a layer of both heads on tokens of twice the width and without that
    column: their upper half follows the tokens, and the lower half of the last token follows the
    column.

    Args:
        V: of the layer.
        Q: of the layer.
        P: biases of its scores, by source and destination, those of the extra column last.

    Returns:
        The head that moves the tokens, and the one that moves the column.
    """
    upper, corner = _unit(0, 0, V), _unit(1, 0, V)
    last = torch.zeros_like(P[:-1, :-1])
    last[:, -1] = P[:-1, -1]
    return (
        Head(torch.kron(upper, V), torch.kron(upper, Q), P[:-1, :-1]),
        Head(torch.kron(corner, V), torch.kron(_unit(0, 1, V), Q), last),
    )


def _unit(row: int, column: int, like: Tensor) -> Float[Tensor, "2 2"]:
    unit = like.new_zeros(2, 2)
    unit[row, column] = 1.0
    return unit
