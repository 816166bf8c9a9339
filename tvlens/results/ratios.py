"""Means over replicates and ratios of means, with intervals; recovery, the ratio most asked for."""

from collections.abc import Iterable, Mapping
from typing import SupportsFloat

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.bounds import BOUNDS, label_bounds
from tvlens.results.intervals import (
    interval,
    paired_difference,
    resampled_means,
    seed_resampled_means,
)

Bounded = xr.Dataset | Iterable[SupportsFloat]
"""A single number with its interval: `estimate`, `low`, `high`, labelled or in this order."""
NOTHING = (np.nan, np.nan, np.nan)
"""The row of a score that is not defined."""


def ratio_of_means(numerator: xr.DataArray, denominator: xr.DataArray, over: str) -> xr.Dataset:
    """The mean of one variable over the mean of another, both from the same replicates.

    Args:
        over: the dimension of replicates.

    Returns:
        `estimate`, `low`, `high` (95%, by bootstrap over replicates, which are drawn jointly) over
        the other dimensions of the numerator; nan where the denominator is 0.
    """
    estimate, resampled = resampled_ratios(numerator, denominator, over)
    template = numerator.transpose(over, ...).isel({over: 0}, drop=True)
    return label_bounds(template, estimate, *interval(resampled))


def resampled_ratios(
    numerator: xr.DataArray, denominator: xr.DataArray, over: str
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "resample ..."]]:
    """The ratios of `ratio_of_means`, and those of samples of the replicates, for functions of
    several.
    """
    top = numerator.transpose(over, ...)
    bottom = denominator.broadcast_like(top).transpose(*top.dims).values.astype(float)
    values = top.values.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.asarray(values.mean(0) / _nonzero(bottom.mean(0)))
        return estimate, resampled_means(values) / _nonzero(resampled_means(bottom))


def shares(parts: xr.DataArray, whole: xr.DataArray) -> xr.Dataset:
    """Means of parts over the mean of a whole, both over episodes, told from 0.

    Returns:
        What `ratio_of_means` does, and `p` and `q` of `paired_difference`: whether the mean of
        `parts` differs from 0.
    """
    told = paired_difference(parts, xr.zeros_like(parts))[["p", "q"]]
    return ratio_of_means(parts, whole, "episode").assign(told.data_vars)


def mean_with_interval(values: xr.DataArray, over: str) -> xr.Dataset:
    """The mean over replicates, with its 95% interval: `estimate`, `low`, `high`."""
    return ratio_of_means(values, xr.ones_like(values[over], dtype=float), over)


def means_with_intervals(data: xr.Dataset) -> xr.Dataset:
    """Every variable's mean over episodes with its 95% interval, along `bound`."""
    return data.map(lambda each: mean_with_interval(each, "episode").to_array("bound"))


def recovery(
    errors: xr.DataArray, zero_shot: xr.DataArray, icl: xr.DataArray, over: str
) -> xr.Dataset:
    """Share of what in-context learning gains that is gained here: (E_zero - E) / (E_zero - E_icl).

    Returns:
        `estimate`, `low`, `high` over the other dimensions of `errors`; nan where in-context
        learning gains less than three standard errors.
    """
    saved = (zero_shot - errors).transpose(over, *(dim for dim in errors.dims if dim != over))
    return ratio_of_means(saved, defined_gain(zero_shot, icl, over), over)


def defined_gain(worse: xr.DataArray, better: xr.DataArray, over: str) -> xr.DataArray:
    """How much smaller the second of two errors is, as `defined` has it."""
    gain = (worse - better).transpose(over, ...)
    return gain.copy(data=defined(gain.values.astype(float)))


def defined(whole: Float[np.ndarray, "episode ..."]) -> Float[np.ndarray, "episode ..."]:
    """A whole, or nan where its mean is below three standard errors and a share means nothing."""
    standard_error = whole.std(0, ddof=1) / np.sqrt(len(whole))
    return np.where(whole.mean(0) <= 3 * standard_error, np.nan, whole)


def mean_over_seeds(values: Float[np.ndarray, "seed episode"]) -> tuple[float, float, float]:
    """The mean with its 95% interval over training seeds and the episodes that they share."""
    low, high = interval(seed_resampled_means(values))
    return float(values.mean()), float(low), float(high)


def effective_number(values: Float[np.ndarray, "... place"]) -> Float[np.ndarray, "..."]:
    """How many places share what is positive of some values: exp(entropy); 1 is a single place."""
    positive = np.maximum(values, 0)
    total = positive.sum(-1, keepdims=True)
    share = positive / np.where(total > 0, total, np.nan)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(np.exp(-(share * logs).sum(-1)))


def score_table(rows: Mapping[str, Bounded]) -> pd.DataFrame:
    """A table of scores by name."""
    plain = {
        name: [float(row[bound]) for bound in BOUNDS]
        if isinstance(row, xr.Dataset)
        else [float(each) for each in row]
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(plain, orient="index", columns=list(BOUNDS))


def _nonzero(values: np.ndarray | float) -> np.ndarray:
    return np.where(values == 0, np.nan, values)
