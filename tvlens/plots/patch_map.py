"""The figure of patch maps: where a context's residual stream knows the function."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import PatchMap, figure

_PATCHES = {"patched": "the right function's stream", "removed": "its mean (control)"}


def plot_patch_map(maps: PatchMap | Mapping[str, PatchMap]) -> go.Figure:
    """Heat maps of the share of the answer restored, over layer and token; layer 0, the embedding,
    is at the bottom. Below each map stands its control. Models stand side by side.

    Args:
        maps: one map, or several by name.
    """
    named = {"": maps} if isinstance(maps, PatchMap) else dict(maps)
    titles = [f"{name}: {what}" if name else what for what in _PATCHES.values() for name in named]
    drawn = make_subplots(2, len(named), subplot_titles=titles, vertical_spacing=0.2)
    for column, each in enumerate(named.values(), start=1):
        restored = each.restored()
        for row, patch in enumerate(_PATCHES, start=1):
            drawn.add_trace(_heat_map(restored.sel(patch=patch), each), row=row, col=column)
    drawn.update_xaxes(title="token replaced", row=2)
    drawn.update_yaxes(title="layer", col=1)
    drawn.update_xaxes(type="category")
    drawn.update_yaxes(type="category")
    drawn.update_layout(
        template=TEMPLATE,
        title="Where does a context know which function is asked?",
        coloraxis={
            "colorscale": "RdBu",
            "cmin": -1,
            "cmax": 1,
            "colorbar": {"title": "restored"},
        },
        height=720,
    )
    return drawn


@figure.register
def _(result: PatchMap) -> go.Figure:
    return plot_patch_map(result)


def _heat_map(restored: xr.Dataset, result: PatchMap) -> go.Heatmap:
    grid = restored.stack(at=("role", "tokens")).transpose("layer", "at")
    errors = result.data[str(restored.patch.item())].mean("episode").stack(at=("role", "tokens"))
    details = [grid.low, grid.high, grid.q, errors.transpose("layer", "at")]
    return go.Heatmap(
        z=grid.estimate.values,
        x=[f"{tokens} {role}" for role, tokens in grid["at"].values],
        y=[str(layer) for layer in grid.layer.values],
        customdata=np.stack([each.values for each in details], axis=-1),
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        hoverongaps=False,
        hovertemplate=(
            "layer %{y}, %{x}<br>restored %{z:.3f}, 95% interval %{customdata[0]:.3f} to "
            "%{customdata[1]:.3f}, q %{customdata[2]:.3f}<br>error %{customdata[3]:.4f}"
            "<extra></extra>"
        ),
    )
