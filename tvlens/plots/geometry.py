"""Figures of the geometry of task vectors: clusters along principal components, and over layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from tvlens.base.errors import InputError, did_you_mean
from tvlens.plots.bands import line_with_band
from tvlens.plots.theme import TEMPLATE, model_colours
from tvlens.results import Geometry, figure

CYCLIC, ORDERED = "Twilight", "Viridis"
"""Colour scales that colour-blind readers can follow, for what repeats and for what does not."""


@dataclass(frozen=True)
class Colouring:
    """A number for each function, and how it is shown."""

    title: str
    values: Float[np.ndarray, " function"]
    period: float

    @property
    def axis(self) -> dict:
        """The plotly colour axis."""
        cyclic = np.isfinite(self.period)
        return {
            "colorscale": CYCLIC if cyclic else ORDERED,
            "cmin": 0 if cyclic else self.values.min(),
            "cmax": self.period if cyclic else self.values.max(),
            "colorbar": {"title": self.title, "len": 0.8},
        }


def plot_geometry(
    geometries: Geometry | Mapping[str, Geometry], *, colour: str | None = None
) -> go.Figure:
    """Vectors along their first two (above) and three (below) principal components.

    Each point is a context, each colour a function. A slider chooses the layer; the figure opens
    with the layer that was chosen for the last model.

    Args:
        geometries: one, or several by name, side by side, of the same functions.
        colour: name of the parameter that colours the points. If not given: the one that is cyclic
            or the only one; if there is no such one, functions by number.

    Raises:
        InputError: there is no such parameter, or the functions are not the same in all.
    """
    named = {"": geometries} if isinstance(geometries, Geometry) else dict(geometries)
    _check_same_functions(named)
    first, last = next(iter(named.values())), list(named.values())[-1]
    colouring = _colouring(first, colour)
    layers = last.data.layer.values.tolist()
    shared = [n for n in layers if all(n in each.data.layer.values for each in named.values())]
    shown = last.data.attrs["layer"] if last.data.attrs["layer"] in shared else shared[-1]
    result = make_subplots(
        rows=2,
        cols=len(named),
        specs=[[{"type": "xy"}] * len(named), [{"type": "scene"}] * len(named)],
        subplot_titles=[_title(name, each, shown) for name, each in named.items()],
        row_heights=[0.45, 0.55],
        vertical_spacing=0.08,
    )
    for layer in shared:
        for column, each in enumerate(named.values(), start=1):
            for row, trace in enumerate(_points(each, layer, colouring), start=1):
                trace.visible = layer == shown
                result.add_trace(trace, row=row, col=column)
    _label_axes(result, len(named))
    result.update_layout(
        template=TEMPLATE,
        title="Do the vectors of one function lie together?",
        coloraxis=colouring.axis,
        height=960,
        margin={"t": 135},
        showlegend=False,
        sliders=[_slider(named, shared, shown)],
    )
    return result


def plot_geometry_over_layers(geometries: Geometry | Mapping[str, Geometry]) -> go.Figure:
    """Numbers of the clusters against the layer, with 95% bands; dotted: functions shuffled.

    Args:
        geometries: one, or several by name.
    """
    named = {"": geometries} if isinstance(geometries, Geometry) else dict(geometries)
    titles = {
        "share of variance between functions": lambda each: each.eta2(),
        "silhouette": lambda each: each.silhouette().isel(space=0, drop=True),
        "cosine distance within / between": lambda each: each.cosine_ratio(),
        "dimensions of function means": lambda each: each.effective_dimension().sel(
            of="means", drop=True
        ),
    }
    result = make_subplots(rows=2, cols=2, subplot_titles=list(titles), vertical_spacing=0.16)
    colours = model_colours(named)
    for panel, (unit, numbers) in enumerate(titles.items()):
        for name, each in named.items():
            bounds = numbers(each)
            for labels, dash in (("shuffled", "dot"), ("true", "solid")):
                label = (name or "vectors") if labels == "true" else f"{name} shuffled".strip()
                for trace in line_with_band(
                    bounds.sel(labels=labels),
                    "layer",
                    name=label,
                    colour=colours[name],
                    unit=unit,
                    dash=dash,
                    show_legend=panel == 0,
                ):
                    result.add_trace(trace, row=panel // 2 + 1, col=panel % 2 + 1)
    result.update_xaxes(title="layer", dtick=1)
    result.update_layout(
        template=TEMPLATE,
        title="How much do vectors differ between functions, and within one?",
        height=720,
        legend={"y": -0.12},
    )
    return result


@figure.register
def _(result: Geometry) -> go.Figure:
    return plot_geometry(result)


def _check_same_functions(named: Mapping[str, Geometry]) -> None:
    params = {name: each.data.params for name, each in named.items()}
    first = next(iter(params.values()))
    for name, each in params.items():
        if not np.array_equal(each.values, first.values):
            raise InputError(
                f"{name!r} has vectors of other functions than {next(iter(params))!r}, so colours "
                f"would not mean the same. Draw them in figures of their own."
            )


def _colouring(geometry: Geometry, name: str | None) -> Colouring:
    params = geometry.data.params
    known, periods = params.param.values.tolist(), params.period.values
    if name is not None and name not in known:
        raise InputError(f"There is no parameter {name!r}.{did_you_mean(name, known)}")
    cyclic = [each for each, period in zip(known, periods, strict=True) if np.isfinite(period)]
    chosen = [name] if name is not None else cyclic if len(cyclic) == 1 else known
    if len(chosen) > 1:
        return Colouring("function", np.arange(params.sizes["function"], dtype=float), np.nan)
    period = float(periods[known.index(chosen[0])])
    values = params.sel(param=chosen[0]).values.astype(float)
    return Colouring(chosen[0], values % period if np.isfinite(period) else values, period)


def _points(
    geometry: Geometry, layer: int, colouring: Colouring
) -> list[go.Scatter | go.Scatter3d]:
    data = geometry.data.sel(layer=layer)
    functions = np.searchsorted(data.function.values, data.function_of.values)
    # Thousands of points in every layer: seven digits are enough, and half the size.
    x, y, z = data["scores"].transpose("axis", "episode").values.astype(np.float32)
    names = data.param.values.tolist()
    params = "<br>".join(f"{each} %{{customdata[{i}]:.3f}}" for i, each in enumerate(names, 1))
    common = {
        "mode": "markers",
        "customdata": np.column_stack([data.function.values, data.params.values])[functions].astype(
            np.float32
        ),
    }
    look = {"color": colouring.values[functions].astype(np.float32), "coloraxis": "coloraxis"}
    # The light end of the cyclic scale needs an edge on white.
    edge = {"width": 0.5, "color": "rgba(90,90,90,0.6)"}
    hover = f"function %{{customdata[0]:.0f}}, layer {layer}<br>{params}<br>PC 1 %{{x:.2f}}, PC 2 "
    flat = go.Scatter(
        x=x,
        y=y,
        marker=look | {"size": 5, "line": edge},
        hovertemplate=hover + "%{y:.2f}<extra></extra>",
    )
    deep = go.Scatter3d(
        x=x,
        y=y,
        z=z,
        marker=look | {"size": 3},
        hovertemplate=hover + "%{y:.2f}, PC 3 %{z:.2f}<extra></extra>",
    )
    return [flat.update(common), deep.update(common)]


def _title(name: str, geometry: Geometry, layer: int) -> str:
    cell = geometry.eta2().sel(layer=layer, labels="true")
    head = f"{name}, layer {layer}" if name else f"layer {layer}"
    if np.isnan(cell.estimate):
        return f"{head}: all vectors are the same"
    explained = " + ".join(f"{each:.0%}" for each in geometry.data.explained.sel(layer=layer)[:3])
    between = f"{float(cell.estimate):.0%} of variance between functions"
    return f"{head}<br><sup>{between}<br>PCs hold {explained}</sup>"


def _slider(named: Mapping[str, Geometry], layers: list[int], shown: int) -> dict:
    traces = 2 * len(named)
    return {
        "active": layers.index(shown),
        "currentvalue": {"prefix": "layer: "},
        "pad": {"t": 10},
        "steps": [
            {
                "label": str(layer),
                "method": "update",
                "args": [
                    {"visible": [each == layer for each in layers for _ in range(traces)]},
                    {
                        f"annotations[{column}].text": _title(name, each, layer)
                        for column, (name, each) in enumerate(named.items())
                    },
                ],
            }
            for layer in layers
        ],
    }


def _label_axes(result: go.Figure, columns: int) -> None:
    result.update_xaxes(title="PC 1", zeroline=False)
    result.update_yaxes(title="PC 2", zeroline=False)
    for column in range(1, columns + 1):
        # One unit is equally long along both axes, so that distances are what they look like.
        result.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column)
    result.update_scenes(
        xaxis={"title": "PC 1", "nticks": 5},
        yaxis={"title": "PC 2", "nticks": 5},
        zaxis={"title": "PC 3", "nticks": 4},
        aspectmode="data",
        camera_eye={"x": 1.8, "y": 1.8, "z": 1.3},
    )
