"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.attention_map import attention_map
from tvlens.analysis.contributions import contributions
from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.part_effects import part_effects
from tvlens.analysis.patch_map import patch_map
from tvlens.analysis.saliency_map import saliency_map
from tvlens.analysis.task_vectors import task_vectors

__all__ = [
    "attention_map",
    "contributions",
    "icl_curve",
    "locality_map",
    "part_effects",
    "patch_map",
    "saliency_map",
    "task_vectors",
]
