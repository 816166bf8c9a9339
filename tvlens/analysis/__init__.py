"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.attention_map import attention_map
from tvlens.analysis.bijections import bijections
from tvlens.analysis.conflict import conflict
from tvlens.analysis.contributions import contributions
from tvlens.analysis.decodability import decodability
from tvlens.analysis.demonstration_value import demonstration_value
from tvlens.analysis.demonstration_weights import demonstration_weights
from tvlens.analysis.disentanglement import disentanglement
from tvlens.analysis.distribution_shifts import distribution_shifts
from tvlens.analysis.dropout_risk import dropout_risk
from tvlens.analysis.emergence import emergence
from tvlens.analysis.geometry import geometry
from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.information_flow import information_flow
from tvlens.analysis.learned_structure import learned_structure
from tvlens.analysis.linear_risk import linear_risk
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.noise import noise
from tvlens.analysis.part_effects import part_effects
from tvlens.analysis.patch_map import patch_map
from tvlens.analysis.pruning import pruning
from tvlens.analysis.rank_sweep import rank_sweep
from tvlens.analysis.risk_landscape import risk_landscape
from tvlens.analysis.saliency_map import saliency_map
from tvlens.analysis.several_vectors import several_vectors
from tvlens.analysis.task_vectors import task_vectors
from tvlens.analysis.transfer import transfer
from tvlens.analysis.vocabulary import vocabulary

__all__ = [
    "attention_map",
    "bijections",
    "conflict",
    "contributions",
    "decodability",
    "demonstration_value",
    "demonstration_weights",
    "disentanglement",
    "distribution_shifts",
    "dropout_risk",
    "emergence",
    "geometry",
    "icl_curve",
    "information_flow",
    "learned_structure",
    "linear_risk",
    "locality_map",
    "noise",
    "part_effects",
    "patch_map",
    "pruning",
    "rank_sweep",
    "risk_landscape",
    "saliency_map",
    "several_vectors",
    "task_vectors",
    "transfer",
    "vocabulary",
]
