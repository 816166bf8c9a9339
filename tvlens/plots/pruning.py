"""The figures of pruning: what is kept against the layer, and errors against the context."""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, TEMPLATE, translucent
from tvlens.results import Pruning, figure

WAYS = {
    "pruned": ("dropped while reading", COLOURS["icl"], "solid", "circle"),
    "evicted": ("dropped after reading", "#c98a1b", "dash", "square"),
    "tvp": ("task vector alone", COLOURS["tvp"], "dot", "diamond"),
}
LOWEST = -1.0
"""Shares below it are left out of the picture, so that what is kept stays readable."""
LONG = 50
"""Contexts of more examples are drawn on logarithmic axes, and so many lengths of them at most."""
ACROSS = 4
"""Panels beside each other."""


def plot_pruning(results: Pruning | Mapping[str, Pruning]) -> go.Figure:
    """Share of the gain that is kept against the layer above which the context is dropped.

    A panel for each model, at its longest context, with 95% bands. Under each layer stands which
    share of the keys and values is still held.

    Args:
        results: one result, or several by name.
    """
    named = {"": results} if isinstance(results, Pruning) else dict(results)
    axis = "layer above which the context is dropped; below it, share of keys and values held"
    drawn = _panels(named, axis)
    drawn.layout.annotations[-1].yshift = -48  # Layers have two lines of labels.
    lowest = 0.0
    for index, result in enumerate(named.values()):
        row, column = _place(index)
        kept, cache = result.kept().isel(examples=-1), result.cache().isel(examples=-1)
        errors = result.errors().isel(examples=-1).sel(bound="estimate")
        lowest = min(lowest, float(kept.low.min()))
        for way in reversed(WAYS):
            for trace in _line_with_band(way, kept.sel(way=way), errors, cache):
                trace.update(showlegend=bool(trace.name) and index == 0)
                drawn.add_trace(trace, row, column)
        shares = zip(kept.layer.values, cache.values, strict=True)
        labels = [f"{layer}<br>{share:.0%}" for layer, share in shares]
        ticks = {"tickvals": kept.layer.values, "ticktext": labels, "tickangle": 0}
        drawn.update_xaxes(**ticks, tickfont_size=12, row=row, col=column)
    drawn.update_yaxes(range=[max(LOWEST, lowest) - 0.06, 1.08])
    drawn.update_yaxes(title="share of the gain kept", col=1)
    for share in (0, 1):
        drawn.add_hline(y=share, line={"color": "#bbb", "width": 1}, layer="below")
    return drawn.update_layout(
        template=TEMPLATE,
        title="How much of the context's gain is kept without the context?",
        height=160 + 320 * _rows(named),
        legend={"y": -0.32 / _rows(named), "traceorder": "reversed"},
    )


def plot_pruning_curve(results: Pruning | Mapping[str, Pruning]) -> go.Figure:
    """Errors against the number of examples, a line for each layer above which nothing is left of
    the context; from yellow at the embedding to dark blue at the last layer, full inference.

    Args:
        results: one result, or several by name.
    """
    named = {"": results} if isinstance(results, Pruning) else dict(results)
    drawn = _panels(named, "examples in the context")
    longest = max(int(each.data.examples[-1]) for each in named.values())
    shown = set()
    for index, result in enumerate(named.values()):
        errors = result.errors()
        if longest > LONG:
            last = int(errors.examples[-1])
            errors = errors.sel(examples=np.unique(np.geomspace(1, last, LONG).astype(int)))
        for name, line in _lines(errors).items():
            drawn.add_trace(line.update(showlegend=name not in shown), *_place(index))
            shown.add(name)
    drawn.update_yaxes(rangemode="tozero")
    drawn.update_yaxes(title="error", col=1)
    if longest > LONG:
        drawn.update_xaxes(type="log")
        # Errors of an exact oracle are rounding, which needs no room.
        drawn.update_yaxes(type="log", range=[-3, 1.5], dtick=1)
    return drawn.update_layout(
        template=TEMPLATE,
        title="What do errors become with the context dropped?",
        height=130 + 320 * _rows(named),
        legend_y=-0.25 / _rows(named),
    )


@figure.register
def _(result: Pruning) -> go.Figure:
    return plot_pruning(result)


def _panels(named: Mapping[str, Pruning], axis: str) -> go.Figure:
    """A panel for each model, and one title for all of their axes."""
    return make_subplots(
        rows=_rows(named),
        cols=min(ACROSS, len(named)),
        subplot_titles=list(named),
        shared_yaxes=True,
        vertical_spacing=0.36 / _rows(named),
        x_title=axis,
    )


def _rows(named: Mapping[str, Pruning]) -> int:
    return math.ceil(len(named) / ACROSS)


def _place(index: int) -> tuple[int, int]:
    """Row and column of a panel."""
    return index // ACROSS + 1, index % ACROSS + 1


def _line_with_band(
    way: str, kept: xr.Dataset, errors: xr.Dataset, cache: xr.DataArray
) -> list[go.Scatter]:
    name, colour, dash, symbol = WAYS[way]
    x = kept.layer.values
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"legendgroup": way}
    details = np.stack([kept.low.values, kept.high.values, errors[way].values, cache.values], -1)
    return [
        go.Scatter(y=kept.low.values, **edge),
        go.Scatter(y=kept.high.values, fill="tonexty", fillcolor=translucent(colour), **edge),
        go.Scatter(
            x=x,
            y=kept.estimate.values,
            name=name,
            legendgroup=way,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            customdata=details,
            hovertemplate=(
                f"{name}, layer %{{x}}<br>share kept %{{y:.3f}}, 95% interval "
                "%{customdata[0]:.3f} to %{customdata[1]:.3f}<br>error %{customdata[2]:.4f}<br>"
                "keys and values held %{customdata[3]:.0%}<extra></extra>"
            ),
        ),
    ]


def _lines(errors: xr.Dataset) -> dict[str, go.Scatter]:
    """Errors against the number of examples, by name: pruned above each layer, full, and oracle."""
    layers = errors.layer.values[:-1]
    colours = sample_colorscale("Cividis", np.linspace(0.95, 0.2, len(layers)).tolist())
    curves: dict[str, tuple[xr.DataArray, dict]] = {
        f"pruned above {layer}": (errors.pruned.sel(layer=layer), {"color": str(colour)})
        for layer, colour in zip(layers, colours, strict=True)
    }
    curves["full inference"] = (errors.icl, {"color": COLOURS["icl"], "width": 3, "dash": "dash"})
    curves["oracle"] = (errors.oracle, {"color": COLOURS["oracle"], "dash": "dot"})
    return {
        name: go.Scatter(
            x=values.examples.values,
            y=values.sel(bound="estimate").values,
            name=name,
            legendgroup=name,
            mode="lines",
            line=line,
            customdata=values.sel(bound=["low", "high"]).transpose("examples", "bound").values,
            hovertemplate=(
                f"{name}, %{{x}} examples<br>error %{{y:.4f}}, 95% interval "
                "%{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
            ),
        )
        for name, (values, line) in curves.items()
    }
