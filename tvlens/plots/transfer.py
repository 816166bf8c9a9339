"""The figure of transfer: recovery over where a vector is read and where it is written."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import Transfer, figure


def plot_transfer(results: Transfer | Mapping[str, Transfer]) -> go.Figure:
    """Heat maps of recovery, a column for each result.

    Above: layer written (across) against layer read (up). Below: position ids written, as of a
    context of so many examples, against the number of examples that the vector was read after.
    Blue is recovery (1 is all), white nothing, red harm; all maps share the scale, which is cut off
    at -1. Cells where recovery is not defined are empty.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, Transfer) else dict(results)
    drawn = make_subplots(
        rows=2,
        cols=len(named),
        column_titles=list(named),
        vertical_spacing=0.15,
        row_heights=[0.42, 0.58],
    )
    for column, each in enumerate(named.values(), start=1):
        layers, lengths = each.layer_recovery(), each.length_recovery()
        drawn.add_trace(_heat_map(layers, "read", "write", "layer", digits=2), 1, column)
        drawn.add_trace(_heat_map(lengths, "examples", "position", "length", digits=1), 2, column)
    drawn.update_xaxes(type="category")
    drawn.update_yaxes(type="category")
    drawn.update_xaxes(title="layer written", row=1)
    drawn.update_yaxes(title="layer read", row=1, col=1)
    drawn.update_xaxes(title="position ids of a context of .. examples", row=2)
    drawn.update_yaxes(title="examples before the vector", row=2, col=1)
    drawn.update_layout(
        template=TEMPLATE,
        title="Does a task vector serve elsewhere than where it was read?",
        coloraxis={
            "colorscale": "RdBu",
            "cmin": -1,
            "cmax": 1,
            "colorbar": {"title": "recovery"},
        },
        height=900,
    )
    return drawn


@figure.register
def _(result: Transfer) -> go.Figure:
    return plot_transfer(result)


def _heat_map(bounds: xr.Dataset, read: str, written: str, what: str, digits: int) -> go.Heatmap:
    grid = bounds.transpose(read, written)
    return go.Heatmap(
        z=grid.estimate.values,
        x=[str(each) for each in grid[written].values],
        y=[str(each) for each in grid[read].values],
        customdata=np.stack([grid.low.values, grid.high.values], axis=-1),
        coloraxis="coloraxis",
        texttemplate=f"%{{z:.{digits}f}}",
        hoverongaps=False,
        hovertemplate=(
            f"read at {what} %{{y}}, written at {what} %{{x}}<br>recovery %{{z:.3f}}, 95% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>"
        ),
    )
