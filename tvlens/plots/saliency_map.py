"""The figure of saliency maps: along which attention edges the context reaches the answer."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import SaliencyMap, figure


def plot_saliency_map(maps: SaliencyMap | Mapping[str, SaliencyMap]) -> go.Figure:
    """A heat map for each block, from the tokens looked at to those that look; a row of them for
    each model. Cells are shares of the saliency (`per_head`) of all blocks of the model.

    Args:
        maps: one map, or several by name.
    """
    named = {"": maps} if isinstance(maps, SaliencyMap) else dict(maps)
    shares = {name: each.shares() for name, each in named.items()}
    blocks = max(each.sizes["block"] for each in shares.values())
    titles = [
        (f"{name}, block {block}" if name else f"block {block}")
        if block < each.sizes["block"]
        else ""
        for name, each in shares.items()
        for block in range(blocks)
    ]
    drawn = make_subplots(
        len(named),
        blocks,
        subplot_titles=titles,
        horizontal_spacing=0.25 / blocks,
        vertical_spacing=0.3 / len(named),
    )
    for row, each in enumerate(shares.values(), start=1):
        for column, block in enumerate(each.block.values, start=1):
            drawn.add_trace(_heat_map(each.sel(block=block)), row=row, col=column)
    drawn.update_xaxes(type="category", tickfont={"size": 11}, tickangle=-45)
    drawn.update_xaxes(title="looked at", row=len(named))
    drawn.update_yaxes(type="category", autorange="reversed", tickfont={"size": 11})
    drawn.update_yaxes(title="looking", col=1)
    drawn.update_layout(
        template=TEMPLATE,
        title="Along which attention edges does the context reach the answer?",
        coloraxis={
            "colorscale": "Blues",
            "cmin": 0,
            "colorbar": {"title": "share of<br>saliency"},
        },
        height=150 + 290 * len(named),
    )
    return drawn


@figure.register
def _(result: SaliencyMap) -> go.Figure:
    return plot_saliency_map(result)


def _heat_map(shares: xr.Dataset) -> go.Heatmap:
    main = shares.sel(measure="per_head").transpose("query", "key")
    joint = shares.estimate.sel(measure="joint").transpose("query", "key")
    return go.Heatmap(
        z=main.estimate.values,
        x=main.key.values,
        y=main["query"].values,
        customdata=np.stack([main.low.values, main.high.values, joint.values], axis=-1),
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        textfont={"size": 10},
        hovertemplate=(
            f"block {int(shares.block)}: %{{y}} looks at %{{x}}<br>share of saliency %{{z:.4f}}, "
            "95% interval %{customdata[0]:.4f} to %{customdata[1]:.4f}<br>with heads summed before "
            "the absolute value %{customdata[2]:.4f}<extra></extra>"
        ),
    )
