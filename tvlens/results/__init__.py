"""Labelled results; no torch."""

from tvlens.results.attention_map import AttentionMap
from tvlens.results.base import Result, figure
from tvlens.results.collection import load_results, save_results, scores_table
from tvlens.results.contributions import Contributions
from tvlens.results.history import History
from tvlens.results.icl_curve import ICLCurve
from tvlens.results.intervals import (
    Bootstrap,
    adjusted,
    bootstrap_interval,
    interval,
    paired_difference,
    resampled_means,
    seed_resampled_means,
)
from tvlens.results.locality_map import LocalityMap
from tvlens.results.locality_sweep import LocalitySweep
from tvlens.results.part_effects import PartEffects
from tvlens.results.patch_map import PatchMap
from tvlens.results.saliency_map import SaliencyMap
from tvlens.results.task_vectors import TaskVectors

__all__ = [
    "AttentionMap",
    "Bootstrap",
    "Contributions",
    "History",
    "ICLCurve",
    "LocalityMap",
    "LocalitySweep",
    "PartEffects",
    "PatchMap",
    "Result",
    "SaliencyMap",
    "TaskVectors",
    "adjusted",
    "bootstrap_interval",
    "figure",
    "interval",
    "load_results",
    "paired_difference",
    "resampled_means",
    "save_results",
    "scores_table",
    "seed_resampled_means",
]
