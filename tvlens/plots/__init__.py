"""Figures: each takes a result and computes nothing but what the result can tell."""

from tvlens.plots.attention_map import plot_attention_map
from tvlens.plots.bijections import (
    plot_bijection_errors,
    plot_bijections,
    plot_bijections_over_layers,
)
from tvlens.plots.conflict import plot_conflict
from tvlens.plots.contributions import plot_contributions
from tvlens.plots.decodability import (
    plot_decodability,
    plot_decodability_and_recovery,
    plot_probe_targets,
)
from tvlens.plots.demonstration_value import plot_demonstration_value
from tvlens.plots.demonstration_weights import plot_demonstration_weights
from tvlens.plots.disentanglement import plot_disentanglement
from tvlens.plots.distribution_shifts import plot_distribution_shifts, plot_shift_differences
from tvlens.plots.dropout_risk import plot_dropout_risk
from tvlens.plots.emergence import plot_emergence, plot_emergence_animation
from tvlens.plots.export import PAPER, PaperSize, paper_figure, write_figure
from tvlens.plots.geometry import plot_geometry, plot_geometry_over_layers
from tvlens.plots.history import plot_history
from tvlens.plots.icl_curve import plot_icl_curve
from tvlens.plots.information_flow import plot_information_flow
from tvlens.plots.learned_structure import plot_learned_structure, plot_structure_distances
from tvlens.plots.linear_risk import plot_linear_risk
from tvlens.plots.locality_map import plot_locality
from tvlens.plots.noise_curves import plot_noise, plot_noise_differences
from tvlens.plots.page import Section, write_page
from tvlens.plots.part_effects import plot_part_effects
from tvlens.plots.patch_map import plot_patch_map
from tvlens.plots.pruning import plot_pruning, plot_pruning_curve
from tvlens.plots.rank_sweep import plot_rank_sweep, plot_rank_sweep_outcomes
from tvlens.plots.risk_landscape import plot_risk_landscape
from tvlens.plots.saliency_map import plot_saliency_map
from tvlens.plots.several_vectors import plot_several_vectors
from tvlens.plots.transfer import plot_transfer
from tvlens.plots.vocabulary import plot_vocabulary

__all__ = [
    "PAPER",
    "PaperSize",
    "Section",
    "paper_figure",
    "plot_attention_map",
    "plot_bijection_errors",
    "plot_bijections",
    "plot_bijections_over_layers",
    "plot_conflict",
    "plot_contributions",
    "plot_decodability",
    "plot_decodability_and_recovery",
    "plot_demonstration_value",
    "plot_demonstration_weights",
    "plot_disentanglement",
    "plot_distribution_shifts",
    "plot_dropout_risk",
    "plot_emergence",
    "plot_emergence_animation",
    "plot_geometry",
    "plot_geometry_over_layers",
    "plot_history",
    "plot_icl_curve",
    "plot_information_flow",
    "plot_learned_structure",
    "plot_linear_risk",
    "plot_locality",
    "plot_noise",
    "plot_noise_differences",
    "plot_part_effects",
    "plot_patch_map",
    "plot_probe_targets",
    "plot_pruning",
    "plot_pruning_curve",
    "plot_rank_sweep",
    "plot_rank_sweep_outcomes",
    "plot_risk_landscape",
    "plot_saliency_map",
    "plot_several_vectors",
    "plot_shift_differences",
    "plot_structure_distances",
    "plot_transfer",
    "plot_vocabulary",
    "write_figure",
    "write_page",
]
