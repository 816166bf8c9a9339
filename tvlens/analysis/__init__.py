"""One question per file; each answer is a labelled result with its controls."""

from tvlens.analysis.conflict import conflict
from tvlens.analysis.decodability import decodability
from tvlens.analysis.disentanglement import disentanglement
from tvlens.analysis.distribution_shifts import distribution_shifts
from tvlens.analysis.emergence import emergence
from tvlens.analysis.geometry import geometry
from tvlens.analysis.icl_curve import icl_curve
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.noise import noise
from tvlens.analysis.task_vectors import task_vectors
from tvlens.analysis.transfer import transfer

__all__ = [
    "conflict",
    "decodability",
    "disentanglement",
    "distribution_shifts",
    "emergence",
    "geometry",
    "icl_curve",
    "locality_map",
    "noise",
    "task_vectors",
    "transfer",
]
