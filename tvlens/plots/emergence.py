"""Figures of emergence: curves over training, and an animation of map and vectors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.colors import qualitative, sample_colorscale
from plotly.subplots import make_subplots

from tvlens.plots.locality_map import role_labels
from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
from tvlens.results import Emergence, figure

BEFORE_ONE = 0.5
"""Where step 0 is drawn on a logarithmic axis."""


def plot_emergence(results: Emergence | Mapping[str, Emergence]) -> go.Figure:
    """Errors and between-function share of the variance against training steps.

    Above: errors of in-context learning and of the carrier's vector at each layer. Below: eta2 of
    the vectors at each layer, with 95% bands in the hover text.

    Args:
        results: one training, or several by name, a column each.
    """
    named = {"": results} if isinstance(results, Emergence) else dict(results)
    rows: Any = "rows"  # Which make_subplots takes, though its types say otherwise.
    result = make_subplots(
        rows=2,
        cols=len(named),
        subplot_titles=list(named),
        shared_yaxes=rows,
        shared_xaxes=True,
        vertical_spacing=0.08,
    )
    for column, each in enumerate(named.values(), start=1):
        for trace in _error_lines(each, show_legend=column == 1):
            result.add_trace(trace, row=1, col=column)
        for trace in _eta2_lines(each):
            result.add_trace(trace, row=2, col=column)
        result.update_xaxes(_step_axis(each.steps), col=column)
    result.update_xaxes(title="training steps", row=2)
    result.update_yaxes(title="error", rangemode="tozero", row=1, col=1)
    result.update_yaxes(title="variance between functions", range=[-0.03, 1.03], row=2, col=1)
    return result.update_layout(
        template=TEMPLATE,
        title="When does the task vector come to be?",
        height=680,
        legend={"y": -0.13},
    )


def plot_emergence_animation(result: Emergence) -> go.Figure:
    """Recovery by layer and token beside the vectors of one layer, with a slider over the steps."""
    recovery, layer = result.recovery(), result.data.attrs["layer"]
    titles = ["recovery", f"task vectors at layer {layer}"]
    drawn = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.16)
    frames = {step: _frame(result, recovery.sel(step=step), step) for step in result.steps}
    last = frames[result.steps[-1]]
    for column, trace in enumerate(last, start=1):
        drawn.add_trace(trace, row=1, col=column)
    drawn.frames = [
        go.Frame(data=traces, name=str(step), traces=[0, 1]) for step, traces in frames.items()
    ]
    drawn.update_xaxes(title="token read and written", type="category", col=1)
    drawn.update_yaxes(title="layer", type="category", col=1)
    reach = 1.05 * float(np.nanmax(np.abs(result.data.coordinates[..., :2].values), initial=1e-9))
    drawn.update_xaxes(title="component 1", range=[-reach, reach], col=2)
    drawn.update_yaxes(title="component 2", range=[-reach, reach], col=2)
    colorbar = {"title": "recovery", "x": 0.42, "len": 0.9}
    return drawn.update_layout(
        template=TEMPLATE,
        title="A task vector comes to be",
        coloraxis={"colorscale": "RdBu", "cmin": -1, "cmax": 1, "colorbar": colorbar},
        height=520,
        sliders=[_slider(result.steps)],
        updatemenus=[_play_button()],
    )


@figure.register
def _(result: Emergence) -> go.Figure:
    return plot_emergence(result)


def _layer_colours(count: int) -> list[str]:
    """From light to dark with the layer, readable without telling red from green."""
    return [str(each) for each in sample_colorscale("Plasma_r", np.linspace(0.15, 0.95, count))]


def _error_lines(result: Emergence, show_legend: bool) -> list[go.Scatter]:
    errors = result.errors()
    x = np.maximum(errors.step.values, BEFORE_ONE)
    lines = []

    def line(name: str, values: np.ndarray, style: dict) -> None:
        hover = f"{name}, step %{{customdata}}<br>error %{{y:.4f}}<extra></extra>"
        lines.append(
            go.Scatter(
                x=x, y=values, name=name, legendgroup=name, showlegend=show_legend, line=style,
                customdata=errors.step.values, hovertemplate=hover, mode="lines",
            )
        )  # fmt: skip

    for name in ("zero_shot", "oracle", "icl"):
        dash = "solid" if name == "icl" else "dot"
        line(NAMES[name], errors[name].values, {"color": COLOURS[name], "dash": dash})
    for layer, colour in zip(
        errors.layer.values, _layer_colours(errors.sizes["layer"]), strict=True
    ):
        line(f"vector of layer {layer}", errors.tvp.sel(layer=layer).values, {"color": colour})
    return lines


def _eta2_lines(result: Emergence) -> list[go.Scatter]:
    eta2 = result.data.eta2.transpose("layer", "step", "bound")
    colours = _layer_colours(eta2.sizes["layer"])
    steps = eta2.step.values
    return [
        go.Scatter(
            x=np.maximum(steps, BEFORE_ONE),
            y=curve.sel(bound="estimate").values,
            legendgroup=f"vector of layer {int(curve.layer)}",
            showlegend=False,
            mode="lines",
            line={"color": colour},
            customdata=np.column_stack([steps, curve.sel(bound=["low", "high"]).values]),
            hovertemplate=f"layer {int(curve.layer)}, step %{{customdata[0]}}<br>"
            "eta2 %{y:.3f}, 95% interval %{customdata[1]:.3f} to %{customdata[2]:.3f}"
            "<extra></extra>",
        )
        for curve, colour in zip(eta2, colours, strict=True)
    ]


def _step_axis(steps: list[int]) -> dict:
    """A logarithmic axis that also shows step 0."""
    powers = [10**power for power in range(len(str(steps[-1])))]
    return {
        "type": "log",
        "tickvals": [BEFORE_ONE, *powers],
        "ticktext": ["0", *(f"{power:,}" for power in powers)],
    }


def _frame(result: Emergence, recovery: xr.Dataset, step: int) -> list:
    """Heat map and points of one step."""
    grid = recovery.transpose("layer", "role")
    points = result.data.coordinates.sel(step=step)
    functions = points.function_of.values
    palette = qualitative.Dark24
    heat_map = go.Heatmap(
        z=grid.estimate.values,
        x=role_labels(recovery),
        y=[str(layer) for layer in grid.layer.values],
        customdata=np.stack([grid.low.values, grid.high.values], axis=-1),
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        hoverongaps=False,
        hovertemplate=f"step {step}, layer %{{y}}, token %{{x}}<br>recovery %{{z:.3f}}, 95% "
        "interval %{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>",
    )
    scatter = go.Scatter(
        x=points[:, 0].values,
        y=points[:, 1].values,
        mode="markers",
        marker={"size": 6, "color": [palette[each % len(palette)] for each in functions]},
        text=[str(each) for each in functions],
        hovertemplate=f"step {step}, function %{{text}}<extra></extra>",
        showlegend=False,
    )
    return [heat_map, scatter]


def _slider(steps: list[int]) -> dict:
    return {
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "training steps: "},
        "pad": {"t": 50, "l": 70},
        "steps": [
            {"label": str(step), "method": "animate", "args": [[str(step)], _MOVE]}
            for step in steps
        ],
    }


def _play_button() -> dict:
    play = {"label": "play", "method": "animate", "args": [None, _PLAY]}
    place = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 78}}
    return {"type": "buttons", "buttons": [play], "showactive": False, **place}


_MOVE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
_PLAY = {"fromcurrent": True, "frame": {"duration": 400, "redraw": True}}
