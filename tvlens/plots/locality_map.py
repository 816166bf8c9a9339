"""The figure of locality maps: recovery over layer and role, with a slider over context length."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import LocalityMap, figure


def plot_locality(maps: LocalityMap | Mapping[str, LocalityMap]) -> go.Figure:
    """Heat maps of recovery, side by side; layer 0, the embedding, is at the bottom.

    The colour scale is the same for all maps and context lengths: blue is recovery (1 is all that
    in-context learning gains), white nothing, red harm. Cells where recovery is not defined are
    empty.

    Args:
        maps: one map, or several by name; they share one slider, so it offers the context lengths
            that all of them have.
    """
    named = {"": maps} if isinstance(maps, LocalityMap) else dict(maps)
    recoveries = {name: each.recovery() for name, each in named.items()}
    errors = {name: each.data.tvp.mean("episode") for name, each in named.items()}
    offered = [set(each.examples.values[1:].tolist()) for each in recoveries.values()]
    lengths = sorted(set.intersection(*offered))

    def heat_maps(length: int) -> list[go.Heatmap]:
        return [
            _heat_map(recoveries[name].sel(examples=length), errors[name].sel(examples=length))
            for name in named
        ]

    titles = [_title(name, recoveries[name].sel(examples=lengths)) for name in named]
    result = make_subplots(cols=len(named), subplot_titles=titles)
    for column, heat_map in enumerate(heat_maps(lengths[-1]), start=1):
        result.add_trace(heat_map, row=1, col=column)
    result.frames = [go.Frame(data=heat_maps(n), name=str(n)) for n in lengths]
    result.update_xaxes(title="token", type="category")
    result.update_yaxes(type="category")
    result.update_yaxes(title="layer", col=1)
    result.update_layout(
        template=TEMPLATE,
        title="How much of in-context learning does one vector carry?",
        coloraxis={
            "colorscale": "RdBu",
            "cmin": -1,
            "cmax": 1,
            "colorbar": {"title": "recovery"},
        },
        height=470,
        sliders=[_slider(lengths)],
    )
    return result


@figure.register
def _(result: LocalityMap) -> go.Figure:
    return plot_locality(result)


def _title(name: str, recovery: xr.Dataset) -> str:
    if recovery.estimate.notnull().any():
        return name
    return f"{name}<br><sup>not defined: in-context learning gains nothing</sup>".removeprefix(
        "<br>"
    )


def _heat_map(recovery: xr.Dataset, error: xr.DataArray) -> go.Heatmap:
    grid = recovery.transpose("layer", "role")
    details = np.stack(
        [grid.low.values, grid.high.values, error.transpose("layer", "role").values], axis=-1
    )
    examples = int(recovery.examples)
    return go.Heatmap(
        z=grid.estimate.values,
        x=role_labels(recovery),
        y=[str(layer) for layer in grid.layer.values],
        customdata=details,
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        hoverongaps=False,
        hovertemplate=(
            f"layer %{{y}}, token %{{x}}, {examples} examples<br>recovery %{{z:.3f}}, 95% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<br>error %{customdata[2]:.4f}"
            "<extra></extra>"
        ),
    )


def role_labels(recovery: xr.Dataset) -> list[str]:
    """What the tokens of a map are called on its axis."""

    def label(read: str, written: str) -> str:
        if read == recovery.attrs["carrier"]:
            return f"{read} (carrier)"
        return read if read == written else f"{read} on {written}"

    return [
        label(*pair) for pair in zip(recovery.role.values, recovery.written.values, strict=True)
    ]


def _slider(lengths: list[int]) -> dict:
    return {
        "active": len(lengths) - 1,
        "currentvalue": {"prefix": "examples in the context: "},
        "pad": {"t": 50},
        "steps": [
            {
                "label": str(n),
                "method": "animate",
                "args": [[str(n)], {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}],
            }
            for n in lengths
        ],
    }
