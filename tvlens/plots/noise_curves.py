"""The figures of noise curves: errors, and differences between models, against noise."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE, translucent
from tvlens.results import NoiseCurves, comparable_pairs, figure
from tvlens.results.noise_curves import CORRUPTED

MODES = ("zero_shot", "oracle", "icl", "tvp")
POSITION = "position of the corrupted example"


def plot_noise(results: NoiseCurves | Mapping[str, NoiseCurves]) -> go.Figure:
    """Lines with 95% bands: a row for each kind of noise, a column for each model.

    The last row has one wrong label, at every position. A row shares its error axis.

    Args:
        results: of one model, or of several of the same task by name.
    """
    named = {"": results} if isinstance(results, NoiseCurves) else dict(results)
    kinds = _kinds(named)
    grid = make_subplots(
        rows=len(kinds),
        cols=len(named),
        column_titles=list(named),
        shared_yaxes=True,
        vertical_spacing=0.32 / len(kinds),
        horizontal_spacing=0.04,
    )
    for row, kind in enumerate(kinds, start=1):
        for column, result in enumerate(named.values(), start=1):
            summary = result.summary_of(kind)
            for mode in MODES:
                values = summary.sel(mode=mode)
                for trace in _line(values, mode, NAMES[mode], kind, row == column == 1):
                    grid.add_trace(trace, row=row, col=column)
            grid.update_xaxes(title=_unit(result, kind), row=row, col=column)
        grid.update_yaxes(title="error", rangemode="tozero", row=row, col=1)
    return grid.update_layout(
        template=TEMPLATE,
        title="How much noise in the labels does a model bear?",
        height=130 + 270 * len(kinds),
        legend={"y": -0.28 / len(kinds)},
    )


def plot_noise_differences(results: Mapping[str, NoiseCurves]) -> go.Figure:
    """How much larger a model's errors are than the reference's: a row for each pair of models, a
    column for each kind of noise. Below 0 the model is better.

    Args:
        results: several models by name; the first of those with the same episodes and format is
            the reference of the others.
    """
    pairs, kinds = comparable_pairs(results), _kinds(results)
    grid = make_subplots(
        rows=len(pairs),
        cols=len(kinds),
        column_titles=kinds,
        vertical_spacing=0.3 / len(pairs),
        horizontal_spacing=0.07,
    )
    for row, (name, reference) in enumerate(pairs, start=1):
        differences = results[name].compare(results[reference])
        for column, kind in enumerate(kinds, start=1):
            if kind not in (*results[name].kinds, CORRUPTED):
                continue
            for mode in ("icl", "tvp"):
                values = _along_levels(results[name], differences.sel(mode=mode), kind)
                label = f"{name} - {reference}, {NAMES[mode]}"
                for trace in _line(values, mode, NAMES[mode], label, row == column == 1):
                    grid.add_trace(trace, row=row, col=column)
            grid.add_hline(0, line={"color": "#8d8d8d", "width": 1}, row=row, col=column)  # pyright: ignore
            grid.update_xaxes(title=_unit(results[name], kind), row=row, col=column)
        title = f"error of {name}<br>- error of {reference}"
        grid.update_yaxes(title=title, row=row, col=1)
    return grid.update_layout(
        template=TEMPLATE,
        title="Which model bears noise better? Below 0 the first one",
        height=150 + 270 * len(pairs),
        legend={"y": -0.34 / len(pairs)},
    )


@figure.register
def _(result: NoiseCurves) -> go.Figure:
    return plot_noise(result)


def _kinds(results: Mapping[str, NoiseCurves]) -> list[str]:
    """Kinds of noise that any of the results has."""
    kinds = [kind for result in results.values() for kind in result.kinds]
    has_corrupted = any((each.data.kind == CORRUPTED).any() for each in results.values())
    return [*dict.fromkeys(kinds), *([CORRUPTED] if has_corrupted else [])]


def _unit(result: NoiseCurves, kind: str) -> str:
    if kind == CORRUPTED:
        return POSITION
    units = result.data.unit.values[result.data.kind.values == kind]
    return f"{kind}: {units[0]}" if len(units) else ""


def _along_levels(result: NoiseCurves, values: xr.Dataset, kind: str) -> xr.Dataset:
    """Values over shift as values over the levels of one kind."""
    curve = result.curve(kind)
    chosen = values.sel(shift=result.names(kind))
    return chosen.assign_coords(level=("shift", curve.level.values)).swap_dims(shift="level")


def _line(
    values: xr.Dataset, mode: str, name: str, label: str, show_legend: bool
) -> list[go.Scatter]:
    """A line of estimates and the band around it."""
    levels, colour = values["level"].values, COLOURS[mode]
    low, high = values.low.values, values.high.values
    edge = {"x": levels, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"showlegend": False, "legendgroup": mode}
    solid = mode in ("icl", "tvp")
    return [
        go.Scatter(y=low, **edge),
        go.Scatter(y=high, fill="tonexty", fillcolor=translucent(colour), **edge),
        go.Scatter(
            x=levels,
            y=values.estimate.values,
            name=name,
            mode="lines+markers" if solid else "lines",
            marker={"size": 5},
            legendgroup=mode,
            showlegend=show_legend,
            customdata=np.stack([low, high], axis=-1),
            line={"color": colour, "dash": "solid" if solid else "dot"},
            hovertemplate=(
                f"{label}, {name}<br>at %{{x:g}}: error %{{y:.4f}}, 95% interval "
                "%{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
            ),
        ),
    ]
