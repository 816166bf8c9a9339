"""Figures: each takes a result and computes nothing but what the result can tell."""

from tvlens.plots.history import plot_history
from tvlens.plots.icl_curve import plot_icl_curve
from tvlens.plots.locality_map import plot_locality
from tvlens.plots.page import write_page
from tvlens.plots.png import write_png
from tvlens.plots.pruning import plot_pruning, plot_pruning_curve

__all__ = [
    "plot_history",
    "plot_icl_curve",
    "plot_locality",
    "plot_pruning",
    "plot_pruning_curve",
    "write_page",
    "write_png",
]
