"""Shares of a whole: a mean over episodes divided by another, with intervals."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from tvlens.results.intervals import interval, paired_difference, resampled_means


def shares(parts: xr.DataArray, whole: xr.DataArray) -> xr.Dataset:
    """Mean of `parts` over mean of `whole`, both over episodes, resampled together.

    Args:
        parts: (episode, ...).
        whole: (episode), or (episode, ...) with dimensions of `parts`.

    Returns:
        Over the other dimensions of `parts`: `estimate`, `low`, `high` (95% interval), and `p`, `q`
        of `paired_difference` for a mean of `parts` that differs from 0.
    """
    estimate, resampled = resampled_shares(parts, whole)
    low, high = interval(resampled)
    parts = parts.transpose("episode", ...)
    template = parts.isel(episode=0, drop=True).astype(float)
    result = paired_difference(parts, xr.zeros_like(parts))[["p", "q"]]
    arrays = {"estimate": estimate, "low": low, "high": high}
    return result.assign({k: template.copy(data=v) for k, v in arrays.items()})


def resampled_shares(
    parts: xr.DataArray, whole: xr.DataArray
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "resample ..."]]:
    """The shares of `shares`, and those of samples of the episodes, for functions of several."""
    parts = parts.transpose("episode", ...)
    total = whole.broadcast_like(parts).transpose(*parts.dims).values.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = parts.values.mean(0, dtype=float) / total.mean(0)
        return estimate, resampled_means(parts.values) / resampled_means(total)


def clear(whole: xr.DataArray) -> xr.DataArray:
    """A whole (episode) as `defined` has it."""
    return whole.copy(data=defined(whole.values.astype(float)))


def defined(whole: Float[np.ndarray, "episode ..."]) -> Float[np.ndarray, "episode ..."]:
    """A whole, or nan where its mean is below three standard errors and a share means nothing."""
    standard_error = whole.std(0, ddof=1) / np.sqrt(len(whole))
    return np.where(whole.mean(0) <= 3 * standard_error, np.nan, whole)


def effective_number(values: Float[np.ndarray, "... place"]) -> Float[np.ndarray, "..."]:
    """How many places share what is positive of some values: exp(entropy); 1 is a single place."""
    positive = np.maximum(values, 0)
    total = positive.sum(-1, keepdims=True)
    share = positive / np.where(total > 0, total, np.nan)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(np.exp(-(share * logs).sum(-1)))
