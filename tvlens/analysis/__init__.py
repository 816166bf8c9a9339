"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.pruning import pruning
from tvlens.analysis.task_vectors import task_vectors

__all__ = ["icl_curve", "locality_map", "pruning", "task_vectors"]
