"""Labelled results; no torch."""

from tvlens.results.base import Result, figure
from tvlens.results.collection import load_results, save_results, scores_table
from tvlens.results.history import History
from tvlens.results.icl_curve import ICLCurve
from tvlens.results.intervals import (
    Bootstrap,
    adjusted,
    bootstrap_interval,
    defined_gain,
    interval,
    mean_with_interval,
    paired_difference,
    resampled_means,
    seed_resampled_means,
)
from tvlens.results.locality_map import LocalityMap
from tvlens.results.locality_sweep import LocalitySweep
from tvlens.results.pruning import Pruning, cached_tokens
from tvlens.results.task_vectors import TaskVectors

__all__ = [
    "Bootstrap",
    "History",
    "ICLCurve",
    "LocalityMap",
    "LocalitySweep",
    "Pruning",
    "Result",
    "TaskVectors",
    "adjusted",
    "bootstrap_interval",
    "cached_tokens",
    "defined_gain",
    "figure",
    "interval",
    "load_results",
    "mean_with_interval",
    "paired_difference",
    "resampled_means",
    "save_results",
    "scores_table",
    "seed_resampled_means",
]
