"""Intervals and comparisons: the bootstrap, paired differences, and many tests at once.

The unit of replication is the episode, since the examples of one episode share their function; for
several trained models it is the training seed first. Ratios and other functions of several means
are resampled jointly: `resampled_means` of each variable with one seed, then the function, then
`interval`.
"""

import enum
import functools
import warnings
from collections.abc import Callable

import numpy as np
import scipy
import xarray as xr
from jaxtyping import Float

from tvlens.base.errors import InputError

RESAMPLES = 1000
LEVEL = 0.95


class Bootstrap(enum.StrEnum):
    """How an interval follows from resampled statistics."""

    PERCENTILE = "percentile"
    """Their central share."""
    BCA = "BCa"
    """The same, corrected for bias and skewness (Efron 1987)."""


def resampled_means(
    values: Float[np.ndarray, "episode ..."], resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "resample ..."]:
    """Means of samples of the episodes, drawn with replacement.

    The same seed draws the same episodes, so that means of several variables can be combined.
    """
    weights = _weights(values.shape[0], resamples, (seed,))
    means = weights @ values.reshape(values.shape[0], -1).astype(float)
    return means.reshape(resamples, *values.shape[1:])


def seed_resampled_means(
    values: Float[np.ndarray, "seed episode ..."],
    resamples: int = RESAMPLES,
    seed: int = 0,
    *,
    group: int = 0,
) -> Float[np.ndarray, "resample ..."]:
    """Means of samples of training seeds, and of episodes within each, drawn with replacement.

    The episodes are taken to be the same for all seeds, and so are drawn together.

    Args:
        group: which trainings these are. Variables of the same trainings share their draws of
            seeds; another group has draws of its own, and the same episodes (`group_means`).
    """
    # The episodes' stream is `seed` itself, that of seeds (seed, 1 or more): none is another.
    seeds = _weights(values.shape[0], resamples, (seed, 1 + group))
    episodes = _weights(values.shape[1], resamples, (seed,))
    flat = values.reshape(*values.shape[:2], -1).astype(float)
    means = np.einsum("rs,re,sev->rv", seeds, episodes, flat, optimize=True)
    return means.reshape(resamples, *values.shape[2:])


def group_means(
    *groups: Float[np.ndarray, "_ episode ..."], resamples: int = RESAMPLES, seed: int = 0
) -> list[Float[np.ndarray, "resample ..."]]:
    """`seed_resampled_means` of models of different kinds on the same episodes, to be compared.

    The seeds of each group are drawn on their own: seed 1 of one kind has nothing to do with seed 1
    of another.
    """
    return [
        seed_resampled_means(values, resamples, seed, group=number)
        for number, values in enumerate(groups)
    ]


def interval(
    resampled: Float[np.ndarray, "resample ..."], level: float = LEVEL
) -> tuple[Float[np.ndarray, "..."] | float, Float[np.ndarray, "..."] | float]:
    """The central interval that holds a share `level` of the resampled statistics."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def bootstrap_interval(
    values: Float[np.ndarray, "episode ..."],
    statistic: Callable[..., np.ndarray | float] = np.mean,
    *,
    method: Bootstrap = Bootstrap.BCA,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """An interval of any statistic of the episodes, by `scipy.stats.bootstrap`.

    Slower than `resampled_means` with `interval`, and needed where a statistic is skewed: a median,
    a variance, a mean of few episodes. Where all episodes agree, it has no width.

    Args:
        statistic: takes an array and an `axis`.

    Raises:
        InputError: there are fewer than two episodes.
    """
    if len(values) < 2:
        raise InputError(f"An interval needs at least 2 episodes, got {len(values)}.")
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        result = scipy.stats.bootstrap(
            (values,),
            statistic,
            n_resamples=resamples,
            confidence_level=level,
            method=method.value,
            axis=0,
            vectorized=True,
            rng=np.random.default_rng(seed),
        )
    agree, value = (values == values[0]).all(0), statistic(values, axis=0)
    low, high = (np.where(agree, value, bound) for bound in result.confidence_interval)
    return low, high


def jackknife_interval(
    estimate: Float[np.ndarray, "..."] | float,
    without: Float[np.ndarray, "episode ..."],
    level: float = LEVEL,
) -> tuple[Float[np.ndarray, "..."] | float, Float[np.ndarray, "..."] | float]:
    """An interval from leaving out one episode, or other unit, at a time.

    For smooth statistics of the spread of units, such as a variance or the number of dimensions
    that they span: drawn with replacement, units spread less, so a bootstrap is off.

    Args:
        estimate: the statistic of all.
        without: the statistic without each.
    """
    count = len(without)
    variance = (count - 1) / count * ((without - without.mean(0)) ** 2).sum(0)
    reach = scipy.stats.t.ppf((1 + level) / 2, count - 1) * np.sqrt(variance)
    return estimate - reach, estimate + reach


def paired_difference(
    first: xr.DataArray,
    second: xr.DataArray,
    *,
    over: str = "episode",
    method: Bootstrap = Bootstrap.PERCENTILE,
) -> xr.Dataset:
    """How much larger `first` is than `second` where both were measured on the same episodes.

    Args:
        over: the dimension of replicates, episodes or seeds, which both share one for one.

    Returns:
        Over the other dimensions: `estimate`, `low`, `high` (95% interval of the mean difference),
        `p` (paired t test of no difference; 1 where all replicates agree exactly) and `q`: p
        adjusted for the number of cells by Benjamini and Hochberg, so that among cells with
        q < 0.05 at most about 5% are expected to be false alarms. The attribute `cells` counts
        them.

    Raises:
        InputError: the two were not measured on the same replicates and cells.
    """
    try:
        first, second = xr.align(first, second, join="exact")
    except ValueError as error:
        raise InputError(
            f"Only what was measured on the same {over}s and cells can be compared ({error})."
        ) from error
    if {over, *first.dims} != set(second.dims):
        raise InputError(
            f"Expected two arrays over {over!r} and the same other dimensions, got "
            f"{first.dims} and {second.dims}."
        )
    difference = (first - second).transpose(over, ...)
    values = difference.values.astype(float)
    if method is Bootstrap.PERCENTILE:
        low, high = interval(resampled_means(values))
    else:
        low, high = bootstrap_interval(values, method=method)
    mean = difference.mean(over)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.mean(0) / (values.std(0, ddof=1) / np.sqrt(len(values)))
    p = np.where((values == 0).all(0), 1.0, 2 * scipy.stats.t.sf(np.abs(t), len(values) - 1))
    columns = {"low": low, "high": high, "p": p, "q": adjusted(p)}
    arrays = {name: mean.copy(data=np.asarray(value)) for name, value in columns.items()}
    return xr.Dataset({"estimate": mean, **arrays}, attrs={"cells": int(p.size), "over": over})


def adjusted(p: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """P values adjusted for their number by Benjamini and Hochberg; nan stays nan."""
    values = np.asarray(p, dtype=float)
    result = values.copy()
    tested = np.isfinite(values)
    if tested.any():
        result[tested] = scipy.stats.false_discovery_control(values[tested])
    return result


@functools.lru_cache(maxsize=4)
def _weights(
    units: int, resamples: int, stream: tuple[int, ...]
) -> Float[np.ndarray, "resample unit"]:
    """How much each episode, or seed, counts in each sample."""
    rng = np.random.default_rng(stream)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return counts / units
