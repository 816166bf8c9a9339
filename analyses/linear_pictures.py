"""The pictures of linear transformers in the docs: each is of several seeds that ship."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

import tvlens as tvl
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.commands.asked_models import shipped
from tvlens.results import (
    DemonstrationValue,
    DemonstrationWeights,
    DropoutRisk,
    LearnedStructure,
    LinearRisk,
    RankSweep,
    RiskLandscape,
)
from tvlens.studies.chapters.shipped import TASK, models
from tvlens.studies.chapters.weights import structure
from tvlens.tasks import CollinearRegression

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTS = tvl.plots
DROPOUT, CAUSAL, BLIND = "triplet-2x5-keep80", "triplet-2x5-keep80-causal", "triplet-2x5-blind"
DROPPED = tuple(
    f"{format}-2x5-keep{keep}" for format in ("pairwise", "triplet") for keep in (60, 80, 90)
)
STRUCTURES = (
    *(DROPOUT, "triplet-2x5-keep80-as-code", "triplet-2x5", "triplet-2x5-sparse", BLIND),
    *("triplet-3x5-keep80", "pairwise-2x5", "pairwise-2x5-sparse", "pairwise-2x5-keep80"),
)
SEED = 0
"""Of all that is drawn, as in the pages."""


def sample(
    shots: int, batch: int, device: torch.device, task: tvl.Task = TASK
) -> tuple[tvl.Episodes, torch.Generator]:
    """Episodes, and the generator that drew them."""
    generator = torch.Generator(device).manual_seed(SEED)
    return tvl.sample_episodes(task, batch, shots, generator=generator), generator


def linear_risk(device: torch.device) -> dict[str, LinearRisk]:
    """All formats, depths and numbers of examples, of models without a variant."""
    names = [n for n in shipped(tvl.ColumnFormat) if n.count("-") == 1 and not n.endswith("x1")]
    some = [model for name in names for model in models(name, device)]
    episodes, _ = sample(11, 4096, device)
    return {"all plain models": measure_linear_risk(some, TASK, episodes)}


def dropout_risk(device: torch.device) -> dict[str, DropoutRisk]:
    """So many episodes that the gain can be seen."""
    episodes, generator = sample(6, 32768, device)
    some = [model for name in DROPPED for model in models(name, device)]
    result = measure_dropout_risk(some, TASK, episodes, generator=generator)
    return {"two layers, 5 examples": result}


def demonstration_weights(device: torch.device) -> dict[str, DemonstrationWeights]:
    """The last arrow under a causal mask."""
    episodes, generator = sample(6, 4096, device)
    others = tvl.fresh_queries(TASK, episodes, generator=generator)
    some, site = models(CAUSAL, device), tvl.Site(1, tvl.Role.ARROW, -1)
    lay_out = some[0].format.context
    return {CAUSAL: measure_demonstration_weights(some, lay_out, episodes, others, site)}


def demonstration_value(device: torch.device) -> dict[str, DemonstrationValue]:
    """On maps of any rank, and on data of which all lie on one line."""
    results = {}
    for name, task in (
        ("maps of any rank", TASK),
        ("one line (paper)", CollinearRegression()),
    ):
        episodes, generator = sample(6, 2048, device, task)
        queries = tvl.fresh_queries(task, episodes, generator=generator)
        asked = (models(DROPOUT, device), task, episodes, queries)
        results[name] = measure_demonstration_value(*asked, generator=generator)
    return results


@functools.cache
def rank_sweep(device: torch.device) -> dict[str, RankSweep]:
    """Maps of rank 1 to 4."""
    return rank_sweep_of(DROPOUT, device)


def rank_sweep_of(name: str, device: torch.device) -> dict[str, RankSweep]:
    """Maps of all ranks that a model has room for."""
    some, generator = models(name, device), torch.Generator(device).manual_seed(SEED)
    d, examples = some[0].d, some[0].examples
    tests = item_tests(d, examples, batch=1024, generator=generator)
    return {name: measure_rank_sweep(some, tests)}


@functools.cache
def learned_structure(device: torch.device) -> dict[str, LearnedStructure]:
    """The weights of each variant, beside those that training started from."""
    return {name: structure(name, device) for name in STRUCTURES}


@functools.cache
def risk_landscape(device: torch.device) -> dict[str, RiskLandscape]:
    """Around models trained with dropout, and around models with C_1 = 0."""
    results = {}
    for name in (DROPOUT, BLIND):
        episodes, generator = sample(6, 2048, device)
        asked = (models(name, device), TASK, episodes)
        results[name] = measure_risk_landscape(*asked, generator=generator)
    return results


def plot_weights(results: Mapping[str, DemonstrationWeights]) -> go.Figure:
    """With the line of the paper, of arrows that hold the example they stand in."""
    best = tvl.theory.optimal_dropout_mixing(
        *(5, TASK.d, 0.8),
        sources=tvl.theory.ArrowSources.UP_TO_OWN,
        generator=torch.Generator().manual_seed(SEED),
    )
    return PLOTS.plot_demonstration_weights(results[CAUSAL], best.mixing[:, -1].tolist())


@dataclass(frozen=True)
class LinearPicture:
    """What a picture of linear transformers shows."""

    measure: Callable[[torch.device], Mapping[str, Any]]
    """Results by name, in seconds."""
    plot: Callable[[Any], go.Figure]
    """How they are drawn."""
    width: int = 1000
    """In pixels of the layout."""


def only(name: str, plot: Callable[[Any], go.Figure]) -> Callable[[Any], go.Figure]:
    """The figure of one of the results."""
    return lambda results: plot(results[name])


LINEAR_PICTURES = {
    "analyses/linear_risk": LinearPicture(
        linear_risk, only("all plain models", PLOTS.plot_linear_risk)
    ),
    "analyses/dropout_risk": LinearPicture(
        dropout_risk, only("two layers, 5 examples", PLOTS.plot_dropout_risk)
    ),
    "analyses/demonstration_weights": LinearPicture(demonstration_weights, plot_weights, 900),
    "analyses/demonstration_value": LinearPicture(
        demonstration_value, PLOTS.plot_demonstration_value, 1150
    ),
    "analyses/rank_sweep": LinearPicture(rank_sweep, PLOTS.plot_rank_sweep),
    "analyses/rank_sweep_d8": LinearPicture(
        functools.partial(rank_sweep_of, "triplet-2x8-d8-keep80"), PLOTS.plot_rank_sweep, 1150
    ),
    "analyses/rank_sweep_outcomes": LinearPicture(rank_sweep, PLOTS.plot_rank_sweep_outcomes, 900),
    "analyses/learned_structure": LinearPicture(
        learned_structure, only(DROPOUT, PLOTS.plot_learned_structure), 1250
    ),
    "analyses/structure_distances": LinearPicture(
        learned_structure, PLOTS.plot_structure_distances, 1250
    ),
    "analyses/risk_landscape": LinearPicture(
        risk_landscape, only(DROPOUT, PLOTS.plot_risk_landscape), 1250
    ),
    "analyses/risk_landscape_blind": LinearPicture(
        risk_landscape, only(BLIND, PLOTS.plot_risk_landscape), 1250
    ),
}
"""By file, as in `pictures.PICTURES`."""
