"""The figures of pruning: what is kept against the layer, and errors against the context."""

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
"""Contexts of more examples are drawn on a logarithmic axis."""


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
    for column, result in enumerate(named.values(), start=1):
        kept = result.kept().isel(examples=-1)
        cache = result.cache().isel(examples=-1)
        errors = result.errors().isel(examples=-1).sel(bound="mean")
        lowest = min(lowest, float(kept.low.min()))
        for way in reversed(WAYS):
            for trace in _line_with_band(way, kept.sel(way=way), errors, cache):
                drawn.add_trace(
                    trace.update(showlegend=bool(trace.name) and column == 1), 1, column
                )
        shares = zip(kept.layer.values, cache.values, strict=True)
        labels = [f"{layer}<br>{share:.0%}" for layer, share in shares]
        drawn.update_xaxes(tickvals=kept.layer.values, ticktext=labels, col=column)
    drawn.update_yaxes(range=[max(LOWEST, lowest) - 0.06, 1.08])
    drawn.update_yaxes(title="share of the gain kept", col=1)
    drawn.add_hline(y=1, line={"color": "#bbb", "width": 1})
    drawn.add_hline(y=0, line={"color": "#bbb", "width": 1})
    return drawn.update_layout(
        template=TEMPLATE,
        title="How much of the context's gain is kept without the context?",
        height=480,
        legend={"y": -0.32, "traceorder": "reversed"},
    )


def plot_pruning_curve(results: Pruning | Mapping[str, Pruning]) -> go.Figure:
    """Errors against the number of examples, a line for each layer above which nothing is left of
    the context; from yellow at the embedding to dark blue at the last layer, full inference.

    Args:
        results: one result, or several by name.
    """
    named = {"": results} if isinstance(results, Pruning) else dict(results)
    drawn = _panels(named, "examples in the context")
    shown = set()
    longest = max(int(each.data.examples[-1]) for each in named.values())
    for column, result in enumerate(named.values(), start=1):
        errors = result.errors()
        if longest > LONG:  # A logarithmic axis has no place for contexts without examples.
            errors = errors.sel(examples=errors.examples > 0)
        layers = errors.layer.values
        places = np.linspace(0.95, 0.0, len(layers)).tolist()
        lines = [
            (f"pruned above {layer}", errors.pruned.sel(layer=layer), str(colour), "solid")
            for layer, colour in zip(
                layers[:-1], sample_colorscale("Cividis", places), strict=False
            )
        ]
        lines += [
            ("full inference", errors.icl, COLOURS["icl"], "solid"),
            ("oracle", errors.oracle, COLOURS["oracle"], "dot"),
        ]
        for name, values, colour, dash in lines:
            trace = _curve(name, values, colour, dash)
            drawn.add_trace(trace.update(showlegend=name not in shown), 1, column)
            shown.add(name)
    drawn.update_xaxes(type="log" if longest > LONG else "linear")
    drawn.update_yaxes(rangemode="tozero")
    drawn.update_yaxes(title="error", col=1)
    return drawn.update_layout(
        template=TEMPLATE,
        title="What do errors become with the context dropped?",
        height=450,
        legend_y=-0.25,
    )


@figure.register
def _(result: Pruning) -> go.Figure:
    return plot_pruning(result)


def _panels(named: Mapping[str, Pruning], axis: str) -> go.Figure:
    """A panel for each model, and one title for all of their axes."""
    return make_subplots(
        cols=len(named), subplot_titles=list(named), shared_yaxes=True, x_title=axis
    )


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
                f"{name}, above layer %{{x}}<br>share kept %{{y:.3f}}, 95% interval "
                "%{customdata[0]:.3f} to %{customdata[1]:.3f}<br>error %{customdata[2]:.4f}<br>"
                "keys and values held %{customdata[3]:.0%}<extra></extra>"
            ),
        ),
    ]


def _curve(name: str, values: xr.DataArray, colour: str, dash: str) -> go.Scatter:
    low, mean, high = (values.sel(bound=bound).values for bound in ("low", "mean", "high"))
    return go.Scatter(
        x=values.examples.values,
        y=mean,
        name=name,
        legendgroup=name,
        mode="lines",
        line={"color": colour, "dash": dash, "width": 3 if name == "full inference" else 2},
        customdata=np.stack([low, high], axis=-1),
        hovertemplate=(
            f"{name}, %{{x}} examples<br>error %{{y:.4f}}, 95% interval "
            "%{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
        ),
    )
