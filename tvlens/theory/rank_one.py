"""What a single vector cannot carry: a map of rank above one."""

import torch
from jaxtyping import Float
from torch import Tensor

from tvlens.base.errors import InputError


def rank_one_swap(x: Float[Tensor, " d"], y: Float[Tensor, " d"]) -> Float[Tensor, "d d"] | None:
    """The rank-one W with y = W x and x = W y, if there is one.

    There is one if and only if x = y or x = -y (arXiv 2506.09048, Proposition 4): W^2 x = x makes
    the only eigenvalue of W that is not 0 equal to 1 or -1.

    Args:
        x: not 0.
        y: not 0.

    Raises:
        InputError: x or y is 0.
    """
    if not x.any() or not y.any():
        raise InputError("No map swaps a vector with 0; give x and y that are not 0.")
    for sign in (1, -1):
        if torch.equal(y, sign * x):
            return sign * torch.outer(x, x) / x.square().sum()
    return None
