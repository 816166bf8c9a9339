"""Figures: each takes a result and computes nothing but what the result can tell."""

from tvlens.plots.conflict import plot_conflict
from tvlens.plots.disentanglement import plot_disentanglement
from tvlens.plots.history import plot_history
from tvlens.plots.icl_curve import plot_icl_curve
from tvlens.plots.locality_map import plot_locality
from tvlens.plots.page import write_page
from tvlens.plots.png import write_png
from tvlens.plots.transfer import plot_transfer

__all__ = [
    "plot_conflict",
    "plot_disentanglement",
    "plot_history",
    "plot_icl_curve",
    "plot_locality",
    "plot_transfer",
    "write_page",
    "write_png",
]
