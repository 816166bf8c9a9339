"""Figures: each takes a result and computes nothing but what the result can tell."""

from tvlens.plots.attention_map import plot_attention_map
from tvlens.plots.contributions import plot_contributions
from tvlens.plots.history import plot_history
from tvlens.plots.icl_curve import plot_icl_curve
from tvlens.plots.locality_map import plot_locality
from tvlens.plots.page import write_page
from tvlens.plots.part_effects import plot_part_effects
from tvlens.plots.patch_map import plot_patch_map
from tvlens.plots.png import write_png
from tvlens.plots.saliency_map import plot_saliency_map

__all__ = [
    "plot_attention_map",
    "plot_contributions",
    "plot_history",
    "plot_icl_curve",
    "plot_locality",
    "plot_part_effects",
    "plot_patch_map",
    "plot_saliency_map",
    "write_page",
    "write_png",
]
