"""The weights of examples in causal arrows, and the published line of Figure 3c."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
from tvlens import theory

PAPER, CORRECTED = theory.DropoutConstants
FIGURE = (0.067, 0.114, 0.133, 0.109, 0.179, 0.182, 0.224, 0.232, 0.262, 0.285)
"""Figure 3c's line, read off the drawing."""


def published_start() -> Tensor:
    """55 uniform numbers of NumPy's seed 24, row by row."""
    start = np.zeros((10, 10))
    start[np.triu_indices(10)] = np.random.RandomState(24).rand(55)
    return torch.from_numpy(start)


def last_weights(mixing: Tensor) -> Tensor:
    return mixing[:, -1].abs()


def test_the_published_line_is_where_the_search_of_the_paper_stopped():
    quartic, said = PAPER.quartic(4, 0.2), torch.tensor(FIGURE, dtype=torch.float64)
    found = theory.local_arrow_weights(published_start(), quartic, tolerance=1e-5)
    line = last_weights(found)
    scaled = line * (said @ line) / line.square().sum()
    # As good as it can be read.
    assert_close(scaled, said, rtol=0, atol=0.0006)
    # It is a local minimum, and not quite: searched further it is lower, and others lower still.
    further = theory.local_arrow_weights(published_start(), quartic)
    other = torch.randn(10, 10, generator=Generator().manual_seed(5), dtype=torch.float64)
    other = theory.local_arrow_weights(other, quartic)
    assert quartic.of(other) < quartic.of(further) < quartic.of(found)


def test_with_the_constants_of_the_mean_over_masks_later_examples_always_weigh_more():
    quartic = CORRECTED.quartic(4, 0.2)
    found = theory.best_arrow_weights(10, 4, 0.2, starts=3, generator=Generator().manual_seed(0))
    assert (last_weights(found).diff() > 0).all()
    published = theory.local_arrow_weights(published_start(), PAPER.quartic(4, 0.2))
    assert quartic.of(found) < 0.93 * quartic.of(published)


@pytest.mark.parametrize("constants", [PAPER, CORRECTED])
def test_a_search_ends_at_a_minimum_of_matrices_of_length_1(constants: theory.DropoutConstants):
    quartic = constants.quartic(3, 0.4)
    start = torch.randn(4, 4, generator=Generator().manual_seed(1), dtype=torch.float64)
    found = theory.local_arrow_weights(start, quartic)
    assert_close(found, found.triu())
    assert float(found.norm()) == pytest.approx(1)
    # Lagrange: the slope is along the matrix, wherever it may move.
    slope = torch.func.grad(quartic.of)(found)
    assert_close(slope, quartic.slope(found))
    slope = slope.triu()
    assert_close(slope, 4 * quartic.of(found) * found, rtol=0, atol=1e-7)


def test_two_arrows_have_the_weights_that_a_grid_finds():
    """Upper triangular of length 1: two angles, and signs do not count in `columns` and `rows`."""
    quartic = CORRECTED.quartic(4, 0.3)
    a, b = torch.meshgrid(*[torch.linspace(0, torch.pi / 2, 401).double()] * 2, indexing="ij")
    entries = torch.stack([a.cos(), a.sin() * b.cos(), 0 * a, a.sin() * b.sin()], -1)
    values = torch.func.vmap(quartic.of)(entries.reshape(-1, 2, 2))
    found = theory.best_arrow_weights(2, 4, 0.3, starts=4, generator=Generator().manual_seed(0))
    assert float(quartic.of(found)) == pytest.approx(float(values.min()), rel=1e-4)
    assert_close(found.abs(), entries.reshape(-1, 2, 2)[values.argmin()], rtol=0, atol=0.01)


def test_without_dropout_each_arrow_holds_one_example():
    """Only `|L4 L4^T|^2` is left: least at orthogonal rows of one length."""
    for constants in (PAPER, CORRECTED):
        found = theory.best_arrow_weights(
            3, 2, 1.0, constants=constants, starts=3, generator=Generator().manual_seed(0)
        )
        assert_close(found.abs(), torch.eye(3).double() / 3**0.5, rtol=0, atol=1e-4)


def test_what_cannot_be_searched_is_refused():
    quartic = PAPER.quartic(4, 0.2)
    with pytest.raises(tvl.InputError, match="square"):
        theory.local_arrow_weights(torch.ones(2, 3), quartic)
    with pytest.raises(tvl.InputError, match="not 0"):
        theory.local_arrow_weights(torch.ones(2, 2).tril(-1), quartic)
    with pytest.raises(tvl.InputError, match="at least 1 start"):
        theory.best_arrow_weights(2, 2, 0.5, starts=0, generator=Generator())
    with pytest.raises(tvl.InputError, match="above 0 and at most 1"):
        theory.best_arrow_weights(2, 2, 0.0, generator=Generator())
