"""Risks of linear transformers in closed form.

A risk is `E |prediction - y|^2`, summed over the d coordinates of y; the task's `error` is this
over d^2, its value for a model that predicts 0.
"""

from jaxtyping import Float
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.theory.mixing import MixingTerms
from tvlens.theory.quartic import DropoutConstants


def icl_risk(K: Float[Tensor, "example example"], d: int) -> Float[Tensor, ""]:
    """Risk of the prediction -Y K X^T x.

    A convex quadratic in K, whose only minimum for d > 1 is K = `optimal_mixing` I. With
    K = (k/n) I it is the risk of one layer on `SINGLE` demonstrations with B C = k I, and with
    K = a I + b M M^T that of Proposition 3 of Dong et al. (arXiv 2506.09048).
    """
    trace = K.trace()
    spread = d * K.square().sum() + (K * K.T).sum()
    return d**2 * (1 + 2 * trace + trace.square() + spread)


def optimal_mixing(examples: int, d: int) -> float:
    """The kappa of the best K = kappa I."""
    return -1 / (examples + 1 + d)


def optimal_risk(examples: int, d: int) -> float:
    """The least `icl_risk`: that of the best layer on `SINGLE` demonstrations, and of the best two
    with C_1 = 0 on pairs or triplets. Task vectors do not lower it.
    """
    return d**2 * (d + 1) / (examples + d + 1)


def dropout_risk(
    terms: MixingTerms, mixing: Float[Tensor, "example shot"], d: int, keep: float
) -> Float[Tensor, ""]:
    """Risk of two layers on triplets in training with token dropout.

    The setting of Proposition 5 of Dong et al. (arXiv 2506.09048) with `DropoutKind.INPUT`, where
    the x of the query and the token that is read out always stay. The constants are those that the
    mean over all masks has. Task vectors do lower this one: an arrow can hold an example whose own
    tokens are dropped.

    Args:
        terms: what the D of the first layer makes of a context.
        mixing: the weights of the examples in the arrows, L4 without the query's row.
        d: width of x.
        keep: probability that a token stays in a layer.

    Raises:
        InputError: keep is not in (0, 1].
    """
    check_keep(keep)
    n, p = len(mixing), keep
    at_x, at_y, arrows = terms
    both = at_x + at_y
    length = mixing.square().sum()
    without = (
        1
        + n * (2 + d) * p**3 * (at_x.square() + at_y.square())
        + 2 * n * p**3 * both
        + 2 * n * (2 + d) * p**4 * at_x * at_y
        + n * (n - 1) * p**6 * both.square()
    )
    linear = 2 * both * arrows * ((2 + d) * p**4 + (n - 1) * p**6) + 2 * arrows * p**3
    quartic = DropoutConstants.CORRECTED.quartic(d, p).of(mixing) + p**6 * length.square()
    return d**2 * (without + linear * length + arrows.square() * quartic)


def check_keep(keep: float) -> None:
    """Raise InputError unless a token can stay with this probability."""
    if not 0 < keep <= 1:
        raise InputError(f"keep is {keep}; it is a probability above 0 and at most 1.")
