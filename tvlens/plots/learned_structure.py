"""Figures of learned structure: the weights of each seed, and how far they are from the sets."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import MODEL_COLOURS, TEMPLATE
from tvlens.results import LearnedStructure, figure

DISTANCES = {
    "off_structure": "D: outside of S<sub>P</sub>",
    "off_structure_elsewhere": "D: outside of S<sub>P</sub>,<br>but for the query's x",
    "second_singular_value": "to arrows: not L4 ⊗ L5",
    "query_row": "L4: row of the query",
    "unequal_examples": "L4 L4ᵀ: not diag(I, 0)",
    "mixing": "K: not a multiple of I",
}
"""What is drawn of `LearnedStructure.distances`, and what it is called."""
_WEIGHTS, _RELATIVE = "coloraxis", "coloraxis2"


def plot_learned_structure(result: LearnedStructure) -> go.Figure:
    """Heat maps of what was learned, a row for each seed.

    D (rows are sources, columns destinations; dead entries are left out), its nearest point in S_P,
    what is left, and in units of their mean diagonal L4 L4^T and K. A slider shows the layers, if
    there are several before the last.
    """
    data = result.data.sel(training="trained")
    layers = [int(layer) for layer in data.layer.values[: max(1, data.sizes["layer"] - 1)]]
    panels = {layer: _panels(result, data, layer) for layer in layers}
    names = list(panels[layers[0]][0])
    seeds = [int(seed) for seed in data.seed.values]
    drawn = make_subplots(
        len(seeds),
        len(names),
        subplot_titles=names,
        row_titles=[f"seed {seed}" for seed in seeds],
        horizontal_spacing=0.035,
        vertical_spacing=0.12 / len(seeds),
        column_widths=[1.0 if index < 3 else 0.6 for index in range(len(names))],
    )
    for row, panel in enumerate(panels[layers[0]], start=1):
        for column, values in enumerate(panel.values(), start=1):
            drawn.add_trace(_heat_map(values, column > 3), row=row, col=column)
    drawn.update_yaxes(autorange="reversed")
    drawn.update_xaxes(showticklabels=False)
    drawn.update_xaxes(showticklabels=True, tickangle=-90, row=len(seeds))
    drawn.update_yaxes(showticklabels=False)
    drawn.update_yaxes(showticklabels=True, col=1)
    drawn.for_each_xaxis(lambda axis: axis.update(tickfont={"size": 9}))
    drawn.for_each_yaxis(lambda axis: axis.update(tickfont={"size": 9}))
    reach = float(np.nanmax(np.abs(data.D.sel(layer=layers))))
    drawn.update_layout(
        template=TEMPLATE,
        title="Did D become what theory says?",
        coloraxis=_colours(reach, "D", 1.04),
        coloraxis2=_colours(1.0, "over the mean diagonal", 1.13),
        height=170 + 270 * len(seeds),
        margin={"r": 170, "l": 90},
    )
    if len(layers) > 1:
        _add_slider(drawn, panels)
    return drawn


def plot_structure_distances(
    results: LearnedStructure | Mapping[str, LearnedStructure],
) -> go.Figure:
    """Each seed's distances from the sets in the first layer, before and after training.

    Args:
        results: of one kind of model, or of several by name.
    """
    named = {"": results} if isinstance(results, LearnedStructure) else dict(results)
    found = {name: each.distances() for name, each in named.items()}
    shown = {k: v for k, v in DISTANCES.items() if any(k in each for each in found.values())}
    drawn = make_subplots(cols=len(shown), subplot_titles=list(shown.values()), shared_yaxes=True)
    for column, measure in enumerate(shown, start=1):
        for training, colour in (("untrained", "#8d8d8d"), ("trained", MODEL_COLOURS[0])):
            drawn.add_trace(_dots(found, measure, training, colour, column == 1), row=1, col=column)
    drawn.update_xaxes(type="log", dtick=1, exponentformat="power", tickfont={"size": 11})
    drawn.update_yaxes(autorange="reversed", type="category")
    drawn.update_annotations(font={"size": 12})
    return drawn.update_layout(
        template=TEMPLATE,
        title="How far are the weights from where theory has them?",
        height=230 + 45 * len(named),
        margin={"t": 110, "l": 180},
        legend={"y": -0.55 / (1 + 0.3 * len(named))},
    )


@figure.register
def _(result: LearnedStructure) -> go.Figure:
    return plot_learned_structure(result)


def _panels(
    result: LearnedStructure, data: xr.Dataset, layer: int
) -> list[dict[str, xr.DataArray]]:
    """What is drawn of one layer, seed by seed."""
    gram = result.gram().sel(training="trained", layer=layer) if "L4" in data else None
    rows = []
    for seed in data.seed.values:
        each = data.sel(seed=seed)
        D, nearest = (each[name].sel(layer=layer) for name in ("D", "nearest"))
        row = {"D": D, "nearest in S<sub>P</sub>": nearest, "rest": D - nearest}
        if gram is not None:
            row["L4 L4ᵀ"] = _over_mean_diagonal(gram.sel(seed=seed))
        if "K" in each:
            row["K"] = _over_mean_diagonal(each.K)
        rows.append(row)
    return rows


def _over_mean_diagonal(square: xr.DataArray) -> xr.DataArray:
    """In units of the mean of the diagonal, the query's left out."""
    examples = [each != "query" for each in square[square.dims[0]].values]
    return square / np.diagonal(square.values)[examples].mean()


def _heat_map(values: xr.DataArray, relative: bool) -> go.Heatmap:
    rows, columns = (list(map(_short, values[dim].values)) for dim in values.dims)
    return go.Heatmap(
        z=values.values,
        x=columns,
        y=rows,
        coloraxis=_RELATIVE if relative else _WEIGHTS,
        hoverongaps=False,
        hovertemplate="from %{y} to %{x}: %{z:.3f}<extra></extra>",
    )


def _colours(reach: float, name: str, x: float) -> dict:
    bar = {"thickness": 12, "x": x, "title": {"text": name, "side": "right"}}
    return {"colorscale": "RdBu", "cmid": 0, "cmin": -reach, "cmax": reach, "colorbar": bar}


def _short(label: object) -> str:
    return str(label).replace("arrow", "→")


def _dots(
    found: Mapping[str, xr.Dataset], measure: str, training: str, colour: str, legend: bool
) -> go.Scatter:
    """A dot for each seed of each model that the measure is defined for."""
    x, y, seeds = [], [], []
    for name, distances in found.items():
        if measure not in distances:
            continue
        values = distances[measure].sel(training=training)
        values = values.sel(layer=1) if "layer" in values.dims else values
        x += list(values.values)
        y += [name] * values.size
        seeds += list(values.seed.values)
    return go.Scatter(
        x=x,
        y=y,
        customdata=seeds,
        name=training,
        legendgroup=training,
        showlegend=legend,
        mode="markers",
        marker={"size": 9, "color": colour, "opacity": 0.75},
        hovertemplate=f"%{{y}}, {training}, seed %{{customdata}}<br>%{{x:.4f}}<extra></extra>",
    )


def _add_slider(drawn: go.Figure, panels: Mapping[int, list[dict[str, xr.DataArray]]]) -> None:
    """Let the panels show another layer."""
    for layer, rows in panels.items():
        flat = [(values, column > 2) for row in rows for column, values in enumerate(row.values())]
        traces = [_heat_map(*each) for each in flat]
        frame = go.Frame(name=str(layer), data=traces, traces=list(range(len(traces))))
        drawn.frames = (*drawn.frames, frame)
    move = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    steps = [
        {"label": str(layer), "method": "animate", "args": [[str(layer)], move]} for layer in panels
    ]
    drawn.update_layout(
        sliders=[{"currentvalue": {"prefix": "layer: "}, "pad": {"t": 80}, "steps": steps}]
    )
