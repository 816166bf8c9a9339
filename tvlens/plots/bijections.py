"""The figures of bijections: accuracy by items and by layer, and what wrong answers are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
from tvlens.results import BijectionAnswers, figure
from tvlens.results.bijections import OUTCOMES

Results = BijectionAnswers | Mapping[str, BijectionAnswers]
SERIES = {
    "zero_shot": ("zero_shot", "", 13),
    "icl": ("icl", "-open", 13),
    "corrected": ("tvp", "", 7),
}
"""Scores that are drawn, from below: what each is, in all figures, and how its marks look, so that
equal ones can be seen.
"""
SYMBOLS = {"forward": "circle", "inverse": "diamond", "both": "square", "copy": "x"}
SPREAD = dict(zip(SYMBOLS, (-0.24, -0.08, 0.08, 0.24), strict=True))
"""How far maps of one size are drawn apart, so that none hides another."""
OUTCOME_COLOURS = dict(
    zip(
        OUTCOMES,
        ("#009e73", "#d55e00", "#e69f00", "#56b4e9", "#0072b2", "#cc79a7", "#c4c4c4"),
        strict=True,
    )
)


def plot_bijections(results: Results) -> go.Figure:
    """Accuracy against the number of items of a map, and 1 / items; a column for each model.

    Circles map forward, diamonds inversely, squares both ways, crosses copy.

    Args:
        results: one result, or several by name.
    """
    named = _named(results)
    drawn = _columns(named, shared_yaxes=True)
    for column, result in enumerate(named.values(), start=1):
        accuracy = result.accuracy()
        traces = [_one_item(result), *(_dots(result, accuracy, score) for score in SERIES)]
        for trace in traces:
            trace.update(legendgroup=trace.name, showlegend=column == 1)
            drawn.add_trace(trace, row=1, col=column)
    drawn.update_xaxes(title="items of the map, its rank")
    drawn.update_yaxes(range=[-0.04, 1.06])
    drawn.update_yaxes(title="accuracy", col=1)
    return drawn.update_layout(
        template=TEMPLATE, title="How many items of a map does one vector serve?", height=440
    )


def plot_bijections_over_layers(results: Results) -> go.Figure:
    """Accuracy of each map with the vector of each layer, beside zero-shot and in context.

    Args:
        results: one result, or several by name.
    """
    named = _named(results)
    drawn = _columns(named)
    for column, result in enumerate(named.values(), start=1):
        drawn.add_trace(_heat_map(result), row=1, col=column)
    drawn.update_xaxes(type="category", tickangle=-45, tickfont={"size": 12})
    drawn.update_yaxes(type="category", autorange="reversed")
    return drawn.update_layout(
        template=TEMPLATE,
        title="At which layer does the vector serve?",
        coloraxis={
            "colorscale": "Blues",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"title": "accuracy"},
        },
        height=_height(named),
        margin={"b": 100},
    )


def plot_bijection_errors(results: Results) -> go.Figure:
    """What the answers are where the dummy's item differs from the query's, at the layer that is
    best for each map.

    Args:
        results: one result, or several by name.
    """
    named = _named(results)
    drawn = _columns(named)
    for column, result in enumerate(named.values(), start=1):
        for trace in _bars(result):
            drawn.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    drawn.update_xaxes(title="share of answers", range=[0, 1.0])
    drawn.update_yaxes(type="category", autorange="reversed")
    return drawn.update_layout(
        template=TEMPLATE,
        title="What does one vector answer where the dummy is not the query?",
        barmode="stack",
        height=_height(named) + 60,
        legend={"y": -90 / _height(named), "yanchor": "top", "traceorder": "normal"},
        margin={"b": 130},
    )


@figure.register
def _(result: BijectionAnswers) -> go.Figure:
    return plot_bijections(result)


def _named(results: Results) -> dict[str, BijectionAnswers]:
    return {"": results} if isinstance(results, BijectionAnswers) else dict(results)


def _columns(named: Mapping[str, BijectionAnswers], **options: Any) -> go.Figure:
    spacing = 0.04 if options else 0.24 / len(named)
    return make_subplots(
        cols=len(named), subplot_titles=list(named), horizontal_spacing=spacing, **options
    )


def _height(named: Mapping[str, BijectionAnswers]) -> int:
    return 220 + 30 * max(each.data.sizes["kind"] for each in named.values())


def _order(result: BijectionAnswers) -> np.ndarray:
    """Maps from few items to many."""
    return np.argsort(result.data["items"].values, kind="stable")


def _labels(result: BijectionAnswers) -> list[str]:
    """The maps in order, with their numbers of items."""
    order = _order(result)
    pairs = zip(result.data.kind.values[order], result.data["items"].values[order], strict=True)
    return [f"{name} ({items})" for name, items in pairs]


def _one_item(result: BijectionAnswers) -> go.Scatter:
    """Steps of 1 / items, as wide as maps of one size are drawn apart."""
    items = np.unique(result.data["items"].values)
    x = [place for n in items for place in (n - 0.4, n + 0.4, None)]
    y = [place for n in items for place in (1 / n, 1 / n, None)]
    line = {"color": COLOURS["oracle"], "dash": "dot", "width": 2}
    return go.Scatter(x=x, y=y, name="1 / items", mode="lines", line=line)


def _dots(result: BijectionAnswers, accuracy: xr.Dataset, score: str) -> go.Scatter:
    kind, style, size = SERIES[score]
    bounds = accuracy.sel(score=score)
    estimate, low, high = (bounds[each].values for each in ("estimate", "low", "high"))
    names, items = result.data.kind.values, result.data["items"].values
    directions = [str(name).split()[0] for name in names]
    return go.Scatter(
        x=items + np.array([SPREAD[each] for each in directions]),
        y=estimate,
        name=NAMES[kind],
        mode="markers",
        marker={
            "color": COLOURS[kind],
            "size": size,
            "symbol": [SYMBOLS[each] + style for each in directions],
        },
        error_y={"array": high - estimate, "arrayminus": estimate - low, "thickness": 1},
        customdata=np.stack([names.astype(object), items, low, high], axis=1),
        hovertemplate=(
            f"%{{customdata[0]}}, %{{customdata[1]}} items<br>{NAMES[kind]} %{{y:.3f}}, "
            "95% interval %{customdata[2]:.3f} to %{customdata[3]:.3f}<extra></extra>"
        ),
    )


def _heat_map(result: BijectionAnswers) -> go.Heatmap:
    shares = result.shares().sel(reading="one dummy", dummy="any", outcome="correct")
    plain = result.plain_shares().sel(outcome="correct")
    parts = [plain.sel(prompt="zero-shot"), *(shares.sel(layer=n) for n in shares.layer.values)]
    parts += [plain.sel(prompt="context")]
    estimate, low, high = (
        np.stack([part[each].values for part in parts], axis=1)[_order(result)]
        for each in ("estimate", "low", "high")
    )
    return go.Heatmap(
        z=estimate,
        x=["zero-shot", *(f"layer {n}" for n in shares.layer.values), "in context"],
        y=_labels(result),
        customdata=np.stack([low, high], axis=-1),
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        textfont={"size": 12},
        hovertemplate=(
            "%{y} items, %{x}<br>accuracy %{z:.3f}, 95% interval %{customdata[0]:.3f} to "
            "%{customdata[1]:.3f}<extra></extra>"
        ),
    )


def _bars(result: BijectionAnswers) -> list[go.Bar]:
    shares = result.shares().sel(reading="one dummy", dummy="differs", layer=result.best_layer())
    order = [n for n in _order(result) if np.isfinite(shares.estimate.values[n]).all()]
    labels = dict(zip(_order(result), _labels(result), strict=True))
    bars = []
    for outcome in OUTCOMES:
        each = shares.sel(outcome=outcome).isel(kind=order)
        bars.append(
            go.Bar(
                x=each.estimate.values,
                y=[labels[n] for n in order],
                orientation="h",
                name=outcome,
                legendgroup=outcome,
                marker={"color": OUTCOME_COLOURS[outcome]},
                customdata=np.stack([each.low.values, each.high.values], axis=1),
                hovertemplate=(
                    f"%{{y}} items<br>{outcome} %{{x:.3f}}, 95% interval %{{customdata[0]:.3f}} to "
                    "%{customdata[1]:.3f}<extra></extra>"
                ),
            )
        )
    return bars
