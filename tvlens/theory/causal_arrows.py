"""Which examples causal arrows are best made of, under token dropout: the line of Figure 3c.

Of Dong et al. (arXiv 2506.09048). Arrow j holds examples 1 .. j, which are those before it if the
first arrow, that has none, is not counted.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.theory.quartic import DropoutConstants, Quartic
from tvlens.theory.risks import check_keep

TOLERANCE = 1e-9
"""Slope at which a search ends. The code of the paper ends at 1e-5, before its minimum."""


def local_arrow_weights(
    start: Float[Tensor, "example arrow"], quartic: Quartic, *, tolerance: float = TOLERANCE
) -> Float[Tensor, "example arrow"]:
    """The upper triangular L4 of length 1 with the least `quartic` near a start, found by BFGS.

    Args:
        start: a square matrix, not 0; what is below its diagonal does not count.
        quartic: what to make least.
        tolerance: slope at which the search ends.

    Raises:
        InputError: the start is not square, or 0 on and above its diagonal.
    """
    if start.ndim != 2 or len(start) != len(start.T) or not start.triu().any():
        raise InputError("A search starts at a square matrix that is not 0 in its upper triangle.")
    places = tuple(torch.triu_indices(*start.shape))

    def unpacked(flat: Tensor) -> Tensor:
        return flat.new_zeros(start.shape).index_put(places, flat / flat.norm())

    def value_and_slope(values: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.from_numpy(values)
        mixing, length = unpacked(flat), flat.norm()
        slope = quartic.slope(mixing)[places] / length
        # Longer or shorter is the same matrix.
        slope = slope - flat * (slope @ flat) / length.square()
        return float(quartic.of(mixing)), slope.numpy()

    first = start.double()[places]
    options = {"gtol": tolerance, "maxiter": 5000}
    found = optimize.minimize(
        value_and_slope, (first / first.norm()).numpy(), jac=True, method="BFGS", options=options
    )
    return unpacked(torch.from_numpy(found.x))


def best_arrow_weights(
    examples: int,
    d: int,
    keep: float,
    *,
    constants: DropoutConstants = DropoutConstants.CORRECTED,
    starts: int = 20,
    generator: Generator,
) -> Float[Tensor, "example arrow"]:
    """The best of several searches, of which many end in a local minimum of their own.

    Args:
        examples: as many as arrows.
        d: width of x.
        keep: probability that a token stays in a layer.
        constants: of what is made least.
        starts: how many searches.
        generator: source of the starts, on the CPU.

    Raises:
        InputError: keep is not in (0, 1], or there are no starts.
    """
    check_keep(keep)
    if starts < 1:
        raise InputError(f"A search needs at least 1 start, got {starts}.")
    quartic = constants.quartic(d, keep)
    size = (starts, examples, examples)
    drawn = torch.randn(size, generator=generator, dtype=torch.float64)
    return min((local_arrow_weights(each, quartic) for each in drawn), key=quartic.of)
