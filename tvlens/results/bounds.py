"""Estimates with the ends of their 95% intervals."""

import numpy as np
import xarray as xr
from jaxtyping import Float

BOUNDS = ("estimate", "low", "high")
"""What they are called, everywhere."""


def label_bounds(
    template: xr.DataArray, *values: Float[np.ndarray, "..."] | np.floating | float
) -> xr.Dataset:
    """Estimate, low and high end, labelled as `template` is."""
    pairs = zip(BOUNDS, values, strict=True)
    return xr.Dataset({name: template.copy(data=np.asarray(each)) for name, each in pairs})
