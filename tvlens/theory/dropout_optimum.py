"""The least risks of two layers that are trained with token dropout, with task vectors and without.

Of `dropout_risk`, the setting of Proposition 5 of Dong et al. (arXiv 2506.09048).
"""

import enum
import functools
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.theory.mixing import MixingTerms
from tvlens.theory.risks import check_keep, dropout_risk


class ArrowSources(enum.StrEnum):
    """Which examples an arrow can hold."""

    ALL = "all"
    """All of them, as without a causal mask."""
    UP_TO_OWN = "up to own"
    """Those up to its own, as in Figure 3c of the paper."""
    BEFORE_OWN = "before own"
    """Those before its own: under a causal mask an arrow does not see the y that follows it."""


class DropoutOptimum(NamedTuple):
    """The best that two layers with C_1 = 0 can make of triplets under token dropout."""

    risk: float
    """`dropout_risk` of what follows."""
    terms: MixingTerms
    """Of which `at_arrows` is -1: it only sets the scale of `mixing`."""
    mixing: Float[Tensor, "example shot"]
    """Weights of the examples in the arrows, that of the query last."""


def optimal_pairs_dropout_risk(examples: int, d: int, keep: float) -> float:
    """The least `dropout_risk` without task vectors: of pairs, or of triplets with L4 = 0.

    Raises:
        InputError: keep is not in (0, 1].
    """
    check_keep(keep)
    n, p = examples, keep
    both = -(p**3) / ((2 + d) * (p**3 + p**4) / 2 + (n - 1) * p**6)
    return d**2 * (1 + n * p**3 * both)


@functools.cache
def optimal_dropout_risk(examples: int, d: int, keep: float) -> float:
    """The risk of `optimal_dropout_mixing` from starts of its own; searched for once a process.

    Raises:
        InputError: keep is not in (0, 1].
    """
    return optimal_dropout_mixing(examples, d, keep, generator=Generator().manual_seed(0)).risk


def optimal_dropout_mixing(
    examples: int,
    d: int,
    keep: float,
    *,
    sources: ArrowSources = ArrowSources.ALL,
    starts: int = 5,
    generator: Generator,
) -> DropoutOptimum:
    """The least `dropout_risk` with task vectors, found numerically from several random starts.

    Args:
        examples: the n of the prompts.
        d: width of x.
        keep: probability that a token stays in a layer.
        sources: which examples an arrow can hold. Unless it is all of them, no y reaches its own x
            either: `at_x` is 0.
        starts: how many searches; the best of them counts.
        generator: source of the starts, on the CPU.

    Raises:
        InputError: keep is not in (0, 1], or there are no starts.
    """
    if starts < 1:
        raise InputError(f"A search needs at least 1 start, got {starts}.")
    seen = torch.ones(examples, examples + 1, dtype=torch.float64)
    if sources is not ArrowSources.ALL:
        seen = seen.triu(int(sources is ArrowSources.BEFORE_OWN))
    y_reaches_x = float(sources is ArrowSources.ALL)

    def unpacked(flat: Tensor) -> tuple[MixingTerms, Tensor]:
        mixing = flat[2:].view_as(seen) * seen
        return MixingTerms(flat[0] * y_reaches_x, flat[1], flat.new_tensor(-1.0)), mixing

    @torch.enable_grad()
    def risk_and_slope(values: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.tensor(values, requires_grad=True)
        risk = dropout_risk(*unpacked(flat), d, keep)
        (slope,) = torch.autograd.grad(risk, flat)
        return float(risk.detach()), slope.numpy()

    size = (starts, 2 + seen.numel())
    drawn = 0.1 * torch.randn(size, generator=generator, dtype=torch.float64)
    found = [
        optimize.minimize(risk_and_slope, start.numpy(), jac=True, method="BFGS") for start in drawn
    ]
    best = min(found, key=lambda each: each.fun)
    terms, mixing = unpacked(torch.from_numpy(best.x))
    return DropoutOptimum(float(best.fun), terms, mixing)
