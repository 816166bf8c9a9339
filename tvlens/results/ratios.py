"""Ratios of means with intervals, and recovery, the ratio that most analyses report."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.bounds import BOUNDS, label_bounds
from tvlens.results.intervals import interval, resampled_means

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
    top = numerator.transpose(over, ...)
    bottom = denominator.broadcast_like(top).transpose(*top.dims).values.astype(float)
    values = top.values.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = resampled_means(values) / _nonzero(resampled_means(bottom))
        estimate = values.mean(0) / _nonzero(bottom.mean(0))
    return bounded(top.isel({over: 0}, drop=True), estimate, resampled)


def mean_with_interval(values: xr.DataArray, over: str) -> xr.Dataset:
    """The mean over replicates, with its 95% interval."""
    return ratio_of_means(values, xr.ones_like(values[over], dtype=float), over)


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


def defined_gain(zero_shot: xr.DataArray, icl: xr.DataArray, over: str) -> xr.DataArray:
    """What in-context learning gains, or nan where a share of it would mean nothing: where its mean
    is below three standard errors.
    """
    gain = zero_shot - icl
    standard_error = gain.std(over, ddof=1) / np.sqrt(gain.sizes[over])
    return gain.where(gain.mean(over) > 3 * standard_error)


def bounded(
    template: xr.DataArray, estimate: np.ndarray | float, resampled: np.ndarray
) -> xr.Dataset:
    """An estimate and the ends of its 95% interval, labelled as `template` is."""
    return label_bounds(template, estimate, *interval(resampled))


def score_table(rows: Mapping[str, xr.Dataset | tuple[float, float, float]]) -> pd.DataFrame:
    """A table of scores, each the bounds of a single number."""
    plain = {
        name: row if isinstance(row, tuple) else tuple(float(row[bound]) for bound in BOUNDS)
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(plain, orient="index", columns=list(BOUNDS))


def _nonzero(values: np.ndarray | float) -> np.ndarray:
    return np.where(values == 0, np.nan, values)
