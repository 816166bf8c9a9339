"""Intervals cover what they say, and many comparisons are told from one."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from tvlens.base.errors import InputError
from tvlens.results import (
    Bootstrap,
    adjusted,
    bootstrap_interval,
    group_means,
    interval,
    paired_difference,
    resampled_means,
    seed_resampled_means,
)


def episodes(values: np.ndarray, **coords: list) -> xr.DataArray:
    dims = ("episode", *(coords or ["cell"] * (values.ndim - 1)))
    return xr.DataArray(values, dims=dims[: values.ndim], coords=coords)


def test_means_of_two_variables_are_resampled_together() -> None:
    first = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(
        resampled_means(3 * first + 1), 3 * resampled_means(first) + 1, rtol=1e-12
    )


def test_seeds_that_agree_leave_the_variance_of_episodes_and_the_other_way_round() -> None:
    values = np.random.default_rng(1).normal(size=40)
    same_seeds = seed_resampled_means(np.tile(values, (5, 1)), resamples=20_000)
    assert same_seeds.var() == pytest.approx(values.var() / 40, rel=0.05)
    same_episodes = seed_resampled_means(np.tile(values[:5, None], (1, 40)), resamples=20_000)
    assert same_episodes.var() == pytest.approx(values[:5].var() / 5, rel=0.05)


def test_seeds_and_episodes_are_drawn_crosswise() -> None:
    rng = np.random.default_rng(2)
    seed, episode = rng.normal(size=(6, 1)), rng.normal(size=(1, 30))
    resampled = seed_resampled_means(seed + episode, resamples=20_000)
    assert resampled.var() == pytest.approx(seed.var() / 6 + episode.var() / 30, rel=0.05)


def test_seeds_of_two_groups_are_drawn_on_their_own_and_their_episodes_together() -> None:
    rng = np.random.default_rng(10)
    first, second = rng.normal(size=(2, 4, 1))
    episode = rng.normal(size=(1, 30))
    ones, others = group_means(first + episode, second + episode, resamples=20_000)
    # What the episodes add to both cancels; the variances of the seeds add up.
    assert (ones - others).var() == pytest.approx((first.var() + second.var()) / 4, rel=0.05)
    same, again = group_means(first + 0 * episode, first + 0 * episode, resamples=20_000)
    assert abs(np.corrcoef(same, again)[0, 1]) < 0.03


def test_how_the_seeds_of_a_group_are_numbered_does_not_matter() -> None:
    rng = np.random.default_rng(11)
    episode = 0.01 * rng.normal(size=200)
    first, second = (np.array([[0.03], [0.04], [0.4]]) + episode for _ in range(2))
    ends = []
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        ones, others = group_means(first, second[order], resamples=20_000)
        ends.append(interval(ones / others))
    np.testing.assert_allclose(ends, np.broadcast_to(ends[0], (3, 2)), rtol=0.1)


def test_the_difference_of_two_groups_is_covered_about_as_often_as_one_says() -> None:
    """Ten seeds a group, of 400 pairs of groups that share their episodes: 400 columns."""
    rng = np.random.default_rng(12)
    episode = rng.normal(size=(1, 20, 400))
    ones, others = group_means(*(rng.normal(size=(10, 1, 400)) + episode for _ in range(2)))
    low, high = interval(ones - others)
    assert 0.88 < np.mean((low <= 0) & (high >= 0)) < 0.97


@pytest.mark.parametrize("method", Bootstrap)
def test_intervals_cover_the_mean_of_skewed_values_about_as_often_as_they_say(
    method: Bootstrap,
) -> None:
    values = np.random.default_rng(3).exponential(size=(50, 400))  # 400 experiments at once.
    low, high = bootstrap_interval(values, method=method)
    covered = ((low <= 1) & (high >= 1)).mean()
    assert 0.88 < covered < 0.98


def test_bca_corrects_a_biased_statistic() -> None:
    """The variance of few values is biased low and skewed; its corrected interval covers better."""
    values = np.random.default_rng(4).normal(size=(15, 400))

    def covered(method: Bootstrap) -> float:
        low, high = bootstrap_interval(values, np.var, method=method)
        return float(((low <= 1) & (high >= 1)).mean())

    assert covered(Bootstrap.BCA) > covered(Bootstrap.PERCENTILE) + 0.03


def test_the_percentile_interval_is_that_of_resampled_means() -> None:
    values = np.random.default_rng(5).normal(size=(200, 4))
    mine = interval(resampled_means(values, resamples=20_000))
    scipys = bootstrap_interval(values, method=Bootstrap.PERCENTILE, resamples=20_000)
    np.testing.assert_allclose(np.array(mine), scipys, atol=0.006)


@pytest.mark.parametrize("method", Bootstrap)
def test_an_interval_of_values_that_agree_has_no_width(method: Bootstrap) -> None:
    values = np.stack([np.full(10, 3.0), np.arange(10.0)], axis=1)
    low, high = bootstrap_interval(values, method=method)
    assert low[0] == high[0] == 3
    assert low[1] < 4.5 < high[1]


def test_an_interval_of_one_episode_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 episodes, got 1"):
        bootstrap_interval(np.ones(1))


def test_a_paired_difference_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 30, 3)) + rng.normal(size=(30, 3))
    found = paired_difference(episodes(first), episodes(second))
    np.testing.assert_allclose(found.estimate, (first - second).mean(0))
    np.testing.assert_allclose(found.p, stats.ttest_rel(first, second).pvalue)
    assert found.attrs["cells"] == 3
    assert (found.low < found.estimate).all()
    assert (found.estimate < found.high).all()


def test_what_all_episodes_agree_on_has_no_width() -> None:
    values = np.random.default_rng(7).integers(0, 9, size=(20, 1)).astype(float)
    found = paired_difference(episodes(values + 2), episodes(values))
    assert found[["estimate", "low", "high", "p"]].to_array().values.tolist() == [
        [2.0],
        [2.0],
        [2.0],
        [0.0],
    ]
    assert float(paired_difference(episodes(values), episodes(values)).p[0]) == 1


@pytest.mark.parametrize("method", Bootstrap)
def test_a_difference_of_arrays_in_other_order_is_aligned(method: Bootstrap) -> None:
    values = np.random.default_rng(8).normal(size=(20, 2))
    first = episodes(values, layer=[0, 1])
    found = paired_difference(first.transpose("layer", "episode"), first - 1, method=method)
    np.testing.assert_allclose(found.estimate, [1, 1])


def test_only_what_was_measured_on_the_same_cells_can_be_compared() -> None:
    values = np.zeros((5, 2))
    first, second = episodes(values, layer=[0, 1]), episodes(values, layer=[1, 2])
    with pytest.raises(InputError, match="same episodes and cells"):
        paired_difference(first, second)
    with pytest.raises(InputError, match="same other dimensions"):
        paired_difference(first, second.rename(layer="role"))


def test_adjusted_is_benjamini_and_hochbergs_procedure() -> None:
    # p of rank r times m / r, made monotone from the largest: .04, .05, .05 and untouched nan.
    np.testing.assert_allclose(
        adjusted(np.array([0.05, 0.04, np.nan, 0.01])), [0.05, 0.05, np.nan, 0.03]
    )


def test_few_of_many_cells_are_false_alarms() -> None:
    rng = np.random.default_rng(9)
    noise = rng.normal(size=(40, 1000))
    planted = np.arange(1000) < 100
    found = paired_difference(episodes(noise + planted), episodes(np.zeros_like(noise)))
    alarms = found.q.values < 0.05
    assert alarms[planted].mean() > 0.95
    assert alarms[~planted].sum() <= 0.1 * alarms.sum()
    assert (found.p.values[~planted] < 0.05).sum() > alarms[~planted].sum()
