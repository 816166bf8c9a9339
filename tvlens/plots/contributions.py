"""The figure of contributions: what the parts of a model add to its task vector."""

from collections.abc import Mapping

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, TEMPLATE
from tvlens.results import Contributions, figure

_MEASURES = {
    "whole": ("of the whole vector", COLOURS["zero_shot"]),
    "varying": ("of what varies between contexts", COLOURS["icl"]),
}


def plot_contributions(results: Contributions | Mapping[str, Contributions]) -> go.Figure:
    """Bars of the share that each part has in the vector, a panel below the other for each model.

    Grey is the whole vector, blue what varies between contexts; each sums to 1.

    Args:
        results: one result, or several by name.
    """
    named = {"": results} if isinstance(results, Contributions) else dict(results)
    drawn = make_subplots(
        len(named), 1, subplot_titles=list(named), vertical_spacing=0.4 / (len(named) + 1)
    )
    for row, each in enumerate(named.values(), start=1):
        shares = each.shares()
        for measure in _MEASURES:
            bars = _bars(measure, shares.sel(measure=measure), show_legend=row == 1)
            drawn.add_trace(bars, row=row, col=1)
    drawn.update_yaxes(title="share of the vector", zeroline=True, zerolinecolor="#888")
    drawn.update_xaxes(tickangle=-45)
    drawn.update_layout(
        template=TEMPLATE,
        title="What do the heads and MLPs add to the task vector?",
        barmode="group",
        height=170 + 300 * len(named),
        legend={"y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    return drawn


@figure.register
def _(result: Contributions) -> go.Figure:
    return plot_contributions(result)


def _bars(measure: str, shares: xr.Dataset, show_legend: bool) -> go.Bar:
    name, colour = _MEASURES[measure]
    estimate, low, high = (shares[bound].values for bound in ("estimate", "low", "high"))
    return go.Bar(
        x=shares.part.values,
        y=estimate,
        name=name,
        legendgroup=measure,
        showlegend=show_legend,
        marker={"color": colour},
        error_y={"array": high - estimate, "arrayminus": estimate - low, "thickness": 1.2},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate=(
            f"%{{x}}: %{{y:.3f}} {name}, 95% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>"
        ),
    )
