"""Figures of decodability: over context length, by probe target, and beside recovery."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from tvlens.base.errors import InputError
from tvlens.plots.bands import line_with_band
from tvlens.plots.theme import COLOURS, TEMPLATE, model_colours
from tvlens.results import Decodability, figure

R2, ACCURACY = "R² on functions never seen", "share of right neighbour votes"


def plot_decodability(results: Decodability | Mapping[str, Decodability]) -> go.Figure:
    """Probes against the number of examples, a line for each layer, a column for each model.

    Above, R² of the linear probe; below, accuracy of the neighbours' vote. Black: the same from the
    best estimate of the parameters that the context allows. Grey: shuffled functions, at the layer
    of the scores.

    Args:
        results: one, or several by name.
    """
    named = _named(results)
    titles = [*named, *([""] * len(named))]
    result = make_subplots(
        rows=2, cols=len(named), subplot_titles=titles, shared_yaxes=True, vertical_spacing=0.1
    )
    for column, each in enumerate(named.values(), start=1):
        rows = _probes(each)
        for row, (unit, (values, best)) in enumerate(rows.items(), start=1):
            for trace in _lines(each, values, best, unit, first=row == column == 1):
                result.add_trace(trace, row=row, col=column)
    result.update_xaxes(title="examples in the context", row=2)
    result.update_yaxes(title=R2, range=[-0.15, 1.05], row=1, col=1)
    result.update_yaxes(title=ACCURACY, range=[-0.05, 1.05], row=2, col=1)
    result.update_layout(
        template=TEMPLATE,
        title="What can be read off the vectors?",
        height=760,
        legend={"y": -0.12},
    )
    return result


def plot_probe_targets(results: Decodability | Mapping[str, Decodability]) -> go.Figure:
    """R² of each probe target at each layer after the longest context, a map for each model.

    Args:
        results: one, or several by name.
    """
    named = _named(results)
    result = make_subplots(
        rows=len(named), subplot_titles=list(named), vertical_spacing=0.35 / len(named)
    )
    for row, each in enumerate(named.values(), start=1):
        bounds = each.r2_of_targets().sel(labels="true").isel(examples=-1)
        bounds = bounds.transpose("layer", "target")
        result.add_trace(
            go.Heatmap(
                z=bounds.estimate.values,
                x=bounds.target.values,
                y=[str(layer) for layer in bounds.layer.values],
                customdata=np.stack([bounds.low.values, bounds.high.values], axis=-1),
                coloraxis="coloraxis",
                hoverongaps=False,
                texttemplate="%{z:.2f}",
                hovertemplate=(
                    "%{x}, layer %{y}<br>R² %{z:.3f}, 95% interval %{customdata[0]:.3f} to "
                    "%{customdata[1]:.3f}<extra></extra>"
                ),
            ),
            row=row,
            col=1,
        )
    result.update_yaxes(title="layer", type="category")
    result.update_xaxes(type="category")
    result.update_layout(
        template=TEMPLATE,
        title="Which parameters can be read linearly?",
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": {"title": "R²"}},
        height=160 + 230 * len(named),
    )
    return result


def plot_decodability_and_recovery(
    results: Decodability | Mapping[str, Decodability],
) -> go.Figure:
    """What can be read off a vector against what the model does with it, a point for each layer.

    Upper right: decodable and steerable; lower right: the task can be read, but writing the vector
    does not steer the answer.

    Args:
        results: one, or several by name, each `with_recovery`.

    Raises:
        InputError: one has no recovery.
    """
    named = _named(results)
    for name, each in named.items():
        if "recovery" not in each.data:
            raise InputError(
                f"There is no recovery in the result {name!r}; take `.with_recovery(map)` of it "
                f"with a locality map of the same model."
            )
    result = make_subplots(cols=2, shared_yaxes=True)
    colours = model_colours(named)
    for name, each in named.items():
        for column, (unit, (values, _)) in enumerate(_probes(each).items(), start=1):
            cells = values.sel(labels="true").isel(examples=-1)
            trace = _trajectory(each, cells, name or "layers", unit, colours[name])
            result.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    for column, unit in enumerate((R2, ACCURACY), start=1):
        result.update_xaxes(title=unit, range=[-0.12, 1.12], row=1, col=column)
    result.update_yaxes(title="recovery by the vector", col=1)
    result.update_layout(
        template=TEMPLATE, title="Does the model use what can be read off?", height=520
    )
    return result


@figure.register
def _(result: Decodability) -> go.Figure:
    return plot_decodability(result)


def _named(results: Decodability | Mapping[str, Decodability]) -> dict[str, Decodability]:
    return {"": results} if isinstance(results, Decodability) else dict(results)


def _probes(result: Decodability) -> dict[str, tuple[xr.Dataset, xr.Dataset]]:
    """Both probes by what they measure: of the vectors, and of the best estimates."""
    return {
        R2: (result.r2(), result.ceiling()),
        ACCURACY: (result.accuracy(), result.estimate_accuracy()),
    }


def _lines(
    result: Decodability, values: xr.Dataset, best: xr.Dataset, unit: str, first: bool
) -> list[go.Scatter]:
    layers = values.layer.values.tolist()
    shades = _shades(len(layers))
    lines = [
        (values.sel(labels="shuffled", layer=result.data.attrs["layer"]), "shuffled", "zero_shot")
    ]
    if best.estimate.notnull().any():
        lines.append((best, "best estimate", "oracle"))
    traces = [
        line_with_band(
            bounds,
            "examples",
            name=name,
            colour=COLOURS[colour],
            unit=unit,
            dash="dot",
            show_legend=first,
        )
        for bounds, name, colour in lines
    ]
    for layer, shade in zip(layers, shades, strict=True):
        traces.append(
            line_with_band(
                values.sel(labels="true", layer=layer),
                "examples",
                name=f"layer {layer}",
                colour=shade,
                unit=unit,
                show_legend=first,
            )
        )
    return [trace for line in traces for trace in line]


def _shades(count: int) -> list[str]:
    """Colours from light to dark, as hexadecimal numbers."""
    parts = sample_colorscale("Viridis", np.linspace(0.9, 0, count).tolist(), colortype="tuple")
    return ["#" + "".join(f"{round(255 * float(p)):02x}" for p in part) for part in parts]


def _trajectory(
    result: Decodability, cells: xr.Dataset, name: str, unit: str, colour: str
) -> go.Scatter:
    data = result.data
    recovery, low, high = (data[f"recovery{end}"].values for end in ("", "_low", "_high"))
    layers = data.layer.values
    return go.Scatter(
        x=cells.estimate.values,
        y=recovery,
        name=name,
        legendgroup=name,
        mode="lines+markers+text",
        text=[str(layer) for layer in layers],
        textposition="middle center",
        textfont={"size": 11, "color": "#ffffff"},
        marker={"size": 17, "color": colour},
        line={"color": colour, "dash": "dot", "width": 1},
        error_x=_error(cells.estimate.values, cells.low.values, cells.high.values, colour),
        error_y=_error(recovery, low, high, colour),
        customdata=np.stack([cells.low.values, cells.high.values, low, high], axis=1),
        hovertemplate=(
            f"{name}, layer %{{text}}<br>{unit} %{{x:.3f}}, 95% interval %{{customdata[0]:.3f}} to "
            "%{customdata[1]:.3f}<br>recovery %{y:.3f}, 95% interval %{customdata[2]:.3f} to "
            "%{customdata[3]:.3f}<extra></extra>"
        ),
    )


def _error(value: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> dict:
    return {
        "type": "data",
        "array": high - value,
        "arrayminus": value - low,
        "color": colour,
        "thickness": 1,
        "width": 3,
    }
