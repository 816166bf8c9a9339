"""The pictures of linear transformers in the docs: each is drawn of several seeds that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from linear_theory import DROPPED, models, plain_models, structure

import tvlens as tvl

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTS = tvl.plots
DROPOUT = "triplet-2x5-keep80"
STRUCTURES = (
    *(DROPOUT, "triplet-2x5-keep80-as-code", "triplet-2x5", "triplet-2x5-sparse"),
    *("triplet-2x5-blind", "triplet-3x5-keep80"),
    *("pairwise-2x5", "pairwise-2x5-sparse", "pairwise-2x5-keep80"),
)
SEED = 0
"""Of what pages show how to measure, and of their pictures."""


@dataclass(frozen=True)
class LinearPicture:
    """What a picture of linear transformers shows."""

    draw: Callable[[torch.device], go.Figure]
    """Measures on a device, in seconds, and draws."""
    width: int = 1000
    """In pixels of the layout."""


def sample(
    shots: int, batch: int, device: torch.device, task: tvl.Task | None = None
) -> tuple[tvl.Task, tvl.Episodes, torch.Generator]:
    """A task, episodes of it, and the generator that drew them."""
    task, generator = task or tvl.MatrixRegression(), torch.Generator(device).manual_seed(SEED)
    return task, tvl.sample_episodes(task, batch, shots, generator=generator), generator


def linear_risk(device: torch.device) -> go.Figure:
    """All formats, depths and numbers of examples."""
    task, episodes, _ = sample(11, 4096, device)
    return PLOTS.plot_linear_risk(tvl.analysis.linear_risk(plain_models(device), task, episodes))


def dropout_risk(device: torch.device) -> go.Figure:
    """So many episodes that the gain can be seen."""
    task, episodes, generator = sample(6, 32768, device)
    some = [model for name in DROPPED for model in models(name, device)]
    result = tvl.analysis.dropout_risk(some, task, episodes, generator=generator)
    return PLOTS.plot_dropout_risk(result)


def demonstration_weights(device: torch.device) -> go.Figure:
    """The last arrow under a causal mask, with the line of the paper."""
    task, episodes, generator = sample(6, 4096, device)
    others = tvl.fresh_queries(task, episodes, generator=generator)
    some = models("triplet-2x5-keep80-causal", device)
    site = tvl.Site(1, tvl.Role.ARROW, -1)
    result = tvl.analysis.demonstration_weights(
        some, some[0].format.context, episodes, others, site
    )
    best = tvl.theory.optimal_dropout_mixing(
        *(5, task.d_x, 0.8),
        sources=tvl.theory.ArrowSources.UP_TO_OWN,
        generator=torch.Generator().manual_seed(SEED),
    )
    return PLOTS.plot_demonstration_weights(result, theory=best.mixing[:, -1].tolist())


def demonstration_value(device: torch.device) -> go.Figure:
    """On maps of any rank, and on data of which all lie on one line."""
    results = {}
    for name, task in (
        ("maps of any rank", tvl.MatrixRegression()),
        ("one line (paper)", tvl.CollinearRegression()),
    ):
        _, episodes, generator = sample(6, 2048, device, task)
        queries = tvl.fresh_queries(task, episodes, generator=generator)
        asked = (models(DROPOUT, device), task, episodes, queries)
        results[name] = tvl.analysis.demonstration_value(*asked, generator=generator)
    return PLOTS.plot_demonstration_value(results)


def rank_sweep(device: torch.device) -> dict[str, tvl.RankSweep]:
    """Of which there are two pictures."""
    generator = torch.Generator(device).manual_seed(SEED)
    tests = tvl.analysis.item_tests(d=4, examples=5, batch=1024, generator=generator)
    return {DROPOUT: tvl.analysis.rank_sweep(models(DROPOUT, device), tests)}


def structure_distances(device: torch.device) -> go.Figure:
    """What training does to the weights of each variant."""
    return PLOTS.plot_structure_distances({name: structure(name, device) for name in STRUCTURES})


def risk_landscape(name: str, device: torch.device) -> go.Figure:
    """Around the seeds of a model."""
    _, episodes, generator = sample(6, 2048, device)
    asked = (models(name, device), tvl.MatrixRegression(), episodes)
    result = tvl.analysis.risk_landscape(*asked, generator=generator)
    return PLOTS.plot_risk_landscape(result)


LINEAR_PICTURES = {
    "analyses/linear_risk": LinearPicture(linear_risk),
    "analyses/dropout_risk": LinearPicture(dropout_risk),
    "analyses/demonstration_weights": LinearPicture(demonstration_weights, 900),
    "analyses/demonstration_value": LinearPicture(demonstration_value, 1150),
    "analyses/rank_sweep": LinearPicture(lambda device: PLOTS.plot_rank_sweep(rank_sweep(device))),
    "analyses/rank_sweep_outcomes": LinearPicture(
        lambda device: PLOTS.plot_rank_sweep_outcomes(rank_sweep(device)), 900
    ),
    "analyses/learned_structure": LinearPicture(
        lambda device: PLOTS.plot_learned_structure(structure(DROPOUT, device)), 1250
    ),
    "analyses/structure_distances": LinearPicture(structure_distances, 1250),
    "analyses/risk_landscape": LinearPicture(lambda device: risk_landscape(DROPOUT, device), 1250),
    "analyses/risk_landscape_blind": LinearPicture(
        lambda device: risk_landscape("triplet-2x5-blind", device), 1250
    ),
}
"""By file, as in `pictures.PICTURES`."""
