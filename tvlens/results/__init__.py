"""Labelled results; no torch."""

from tvlens.results.base import Result, figure
from tvlens.results.bootstrap import interval, resampled_means
from tvlens.results.history import History
from tvlens.results.icl_curve import ICLCurve
from tvlens.results.locality_map import LocalityMap
from tvlens.results.locality_sweep import LocalitySweep

__all__ = [
    "History",
    "ICLCurve",
    "LocalityMap",
    "LocalitySweep",
    "Result",
    "figure",
    "interval",
    "resampled_means",
]
