"""Labelled results; no torch."""

from tvlens.base.figures import figure
from tvlens.results.attention_map import AttentionMap
from tvlens.results.base import Result
from tvlens.results.bijections import BijectionAnswers, accuracy_table
from tvlens.results.collection import (
    load_results,
    readable_scores,
    save_results,
    scores_table,
    side_by_side,
    what_was_asked,
)
from tvlens.results.conflict import Conflict
from tvlens.results.contributions import Contributions
from tvlens.results.decodability import Decodability
from tvlens.results.demonstration_value import DemonstrationValue
from tvlens.results.demonstration_weights import DemonstrationWeights
from tvlens.results.disentanglement import Disentanglement
from tvlens.results.distribution_shifts import DistributionShifts
from tvlens.results.dropout_risk import DropoutRisk
from tvlens.results.emergence import Emergence
from tvlens.results.geometry import Geometry
from tvlens.results.history import History
from tvlens.results.icl_curve import ICLCurve
from tvlens.results.information_flow import InformationFlow
from tvlens.results.intervals import (
    Bootstrap,
    adjusted,
    bootstrap_interval,
    group_means,
    interval,
    jackknife_interval,
    paired_difference,
    resampled_means,
    seed_resampled_means,
)
from tvlens.results.learned_structure import LearnedStructure
from tvlens.results.linear_risk import LinearRisk, Seeds
from tvlens.results.locality_map import LocalityMap, locality_table
from tvlens.results.noise_curves import NoiseCurves, noise_table
from tvlens.results.part_effects import PartEffects
from tvlens.results.patch_map import PatchMap
from tvlens.results.pruning import Pruning, cached_tokens
from tvlens.results.rank_sweep import RankSweep
from tvlens.results.ratios import mean_with_interval, ratio_of_means, recovery
from tvlens.results.risk_landscape import RiskLandscape
from tvlens.results.saliency_map import SaliencyMap
from tvlens.results.several_vectors import SeveralVectors
from tvlens.results.shifted_errors import (
    ShiftedErrors,
    comparable_groups,
    comparable_pairs,
    difference_table,
    same_test,
)
from tvlens.results.task_vectors import TaskVectors
from tvlens.results.transfer import Transfer
from tvlens.results.vocabulary import Vocabulary

__all__ = [
    "AttentionMap",
    "BijectionAnswers",
    "Bootstrap",
    "Conflict",
    "Contributions",
    "Decodability",
    "DemonstrationValue",
    "DemonstrationWeights",
    "Disentanglement",
    "DistributionShifts",
    "DropoutRisk",
    "Emergence",
    "Geometry",
    "History",
    "ICLCurve",
    "InformationFlow",
    "LearnedStructure",
    "LinearRisk",
    "LocalityMap",
    "NoiseCurves",
    "PartEffects",
    "PatchMap",
    "Pruning",
    "RankSweep",
    "Result",
    "RiskLandscape",
    "SaliencyMap",
    "Seeds",
    "SeveralVectors",
    "ShiftedErrors",
    "TaskVectors",
    "Transfer",
    "Vocabulary",
    "accuracy_table",
    "adjusted",
    "bootstrap_interval",
    "cached_tokens",
    "comparable_groups",
    "comparable_pairs",
    "difference_table",
    "figure",
    "group_means",
    "interval",
    "jackknife_interval",
    "load_results",
    "locality_table",
    "mean_with_interval",
    "noise_table",
    "paired_difference",
    "ratio_of_means",
    "readable_scores",
    "recovery",
    "resampled_means",
    "same_test",
    "save_results",
    "scores_table",
    "seed_resampled_means",
    "side_by_side",
    "what_was_asked",
]
