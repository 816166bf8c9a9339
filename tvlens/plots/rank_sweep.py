"""The figures of rank sweeps: accuracy by the rank of a map, and what wrong answers are."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS, TEMPLATE, model_colours
from tvlens.results import RankSweep, figure
from tvlens.results.rank_sweep import OUTCOMES

Results = RankSweep | Mapping[str, RankSweep]
_WAYS = {
    "icl": ("in context", COLOURS["icl"], "circle"),
    "corrected all vectors": ("a vector from each arrow", "#009e73", "diamond"),
    "one example": ("one example", COLOURS["oracle"], "x"),
    "corrected": ("one vector", COLOURS["tvp"], "circle"),
    "corrected another function": ("vector of another function", COLOURS["zero_shot"], "circle"),
}
_SPREAD = dict(zip(_WAYS, (-0.24, -0.12, 0.0, 0.12, 0.24), strict=True))
"""How far the ways are drawn apart, so that none hides another."""
_OUTCOME_COLOURS = dict(
    zip(
        OUTCOMES,
        ("#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#e69f00", "#9a8fc0", "#c4c4c4"),
        strict=True,
    )
)


def plot_rank_sweep(results: Results) -> go.Figure:
    """Above: accuracy on each map, those of small rank first, with 1 / rank as steps. Below:
    accuracy against the number of vectors, a line for each rank. A column for each result.

    Args:
        results: one, or several by name.
    """
    named = _named(results)
    labels = dict.fromkeys(label for each in named.values() for label in _numbered(each))
    colours = model_colours(labels)
    drawn = grid_of_panels(list(named), ("accuracy", "accuracy with several vectors"))
    drawn.update_yaxes(domain=[0, 0.38], row=2)  # Names of maps need room.
    for column, result in enumerate(named.values(), start=1):
        accuracy, order = result.accuracy(), _order(result)
        steps = go.Scatter(
            x=np.arange(len(order)),
            y=1 / result.data["rank"].values[order],
            mode="lines",
            line={"color": COLOURS["oracle"], "dash": "dot", "width": 1, "shape": "hvh"},
            name="1 / rank",
            hoverinfo="skip",
        )
        dots = [[_dots(accuracy.isel(kind=order), way)] for way in _WAYS]
        add_lines(drawn, 1, column, [[steps], *dots])
        add_lines(drawn, 2, column, _numbers(result, colours))
        ticks = {"tickvals": np.arange(len(order)), "ticktext": _labels(result)}
        drawn.update_xaxes(**ticks, tickangle=-45, tickfont={"size": 12}, row=1, col=column)
    drawn.update_xaxes(title="vectors", dtick=1, row=2)
    drawn.update_yaxes(range=[-0.04, 1.06])
    return drawn.update_layout(title="Up to which rank does a vector hold a map?", height=760)


def plot_rank_sweep_outcomes(results: Results) -> go.Figure:
    """What one vector makes the answers, for each map.

    Args:
        results: one, or several by name.
    """
    named = _named(results)
    drawn = make_subplots(cols=len(named), subplot_titles=list(named), shared_yaxes=True)
    for column, result in enumerate(named.values(), start=1):
        shares = result.shares().sel(way="corrected", shown="any").isel(kind=_order(result))
        for outcome in OUTCOMES:
            each = shares.sel(outcome=outcome)
            bar = go.Bar(
                x=each.estimate.values,
                y=_labels(result),
                orientation="h",
                name=outcome,
                legendgroup=outcome,
                showlegend=column == 1,
                marker={"color": _OUTCOME_COLOURS[outcome]},
                customdata=np.stack([each.low.values, each.high.values], axis=1),
                hovertemplate=(
                    f"%{{y}}<br>{outcome} %{{x:.3f}}, 95% interval %{{customdata[0]:.3f}} to "
                    "%{customdata[1]:.3f}<extra></extra>"
                ),
            )
            drawn.add_trace(bar, row=1, col=column)
    drawn.update_xaxes(title="share of answers", range=[0, 1])
    drawn.update_yaxes(type="category", autorange="reversed")
    rows = max(each.data.sizes["kind"] for each in named.values())
    return drawn.update_layout(
        template=TEMPLATE,
        title="What does one vector make a model answer?",
        barmode="stack",
        height=240 + 30 * rows,
        legend={"y": -90 / (240 + 30 * rows), "yanchor": "top", "traceorder": "normal"},
        margin={"l": 170, "b": 130},
    )


@figure.register
def _(result: RankSweep) -> go.Figure:
    return plot_rank_sweep(result)


def _named(results: Results) -> dict[str, RankSweep]:
    return {"": results} if isinstance(results, RankSweep) else dict(results)


def _order(result: RankSweep) -> np.ndarray:
    """Maps from rank 1 on."""
    return np.argsort(result.data["rank"].values, kind="stable")


def _labels(result: RankSweep) -> list[str]:
    """The maps in order, with their rank."""
    kinds, ranks = result.data["kind"].values, result.data["rank"].values
    return [f"{kinds[n]} (rank {ranks[n]})" for n in _order(result)]


def _dots(accuracy: xr.Dataset, way: str) -> go.Scatter:
    bounds, (name, colour, symbol) = accuracy.sel(way=way), _WAYS[way]
    estimate, low, high = (bounds[each].values for each in ("estimate", "low", "high"))
    return go.Scatter(
        x=np.arange(len(estimate)) + _SPREAD[way],
        y=estimate,
        name=name,
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": symbol},
        error_y={"array": high - estimate, "arrayminus": estimate - low, "thickness": 1},
        customdata=np.stack([bounds["kind"].values.astype(object), low, high], axis=1),
        hovertemplate=(
            f"%{{customdata[0]}}<br>{name} %{{y:.3f}}, 95% interval %{{customdata[1]:.3f}} to "
            "%{customdata[2]:.3f}<extra></extra>"
        ),
    )


def _numbered(result: RankSweep) -> dict[str, int]:
    """The maps that go forward or both ways, those of small rank first, by their label."""
    labelled = zip(_labels(result), _order(result), strict=True)
    directions = result.data.direction.values
    return {label: int(n) for label, n in labelled if directions[n] in ("forward", "both")}


def _numbers(result: RankSweep, colours: Mapping[str, str]) -> list[list[go.Scatter]]:
    """A line for each of them."""
    by_number = result.accuracy_by_number().sel(injection="corrected", source="own")
    return [
        line_with_band(
            by_number.isel(kind=n),
            "number",
            label,
            colours[label],
            "dash" if result.data.direction.values[n] == "both" else "solid",
            unit="accuracy",
        )
        for label, n in _numbered(result).items()
    ]
