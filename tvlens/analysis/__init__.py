"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.contributions import contributions
from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.part_effects import part_effects
from tvlens.analysis.task_vectors import task_vectors

__all__ = ["contributions", "icl_curve", "locality_map", "part_effects", "task_vectors"]
