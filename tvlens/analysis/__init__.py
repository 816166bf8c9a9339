"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.conflict import conflict
from tvlens.analysis.disentanglement import disentanglement
from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.task_vectors import task_vectors
from tvlens.analysis.transfer import transfer

__all__ = [
    "conflict",
    "disentanglement",
    "icl_curve",
    "locality_map",
    "task_vectors",
    "transfer",
]
