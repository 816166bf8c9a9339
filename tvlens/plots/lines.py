"""Lines with 95% bands, in panels of a grid: a row for each quantity, a column for each model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE, translucent


def line_with_band(
    bounds: xr.Dataset, over: str, name: str, colour: str, dash: str = "solid"
) -> list[go.Scatter]:
    """A line of estimates, and a band of their intervals.

    Args:
        bounds: `estimate`, `low`, `high` over one dimension.
        over: that dimension.
    """
    x = bounds[over].values
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"showlegend": False, "legendgroup": name}
    ends = np.stack([bounds.low.values, bounds.high.values], axis=-1)
    return [
        go.Scatter(y=bounds.low.values, **edge),
        go.Scatter(
            y=bounds.high.values, fill="tonexty", fillcolor=translucent(colour, 0.15), **edge
        ),
        go.Scatter(
            x=x,
            y=bounds.estimate.values,
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"size": 6},
            customdata=ends,
            hovertemplate=(
                f"{name}, {over} %{{x}}<br>%{{y:.4f}}, 95% interval %{{customdata[0]:.4f}} to "
                "%{customdata[1]:.4f}<extra></extra>"
            ),
        ),
    ]


def grid_of_panels(models: Sequence[str], quantities: Sequence[str]) -> go.Figure:
    """Empty panels, a row for each quantity, named on its left, and a column for each model."""
    result = make_subplots(
        rows=len(quantities),
        cols=len(models),
        column_titles=list(models),
        shared_yaxes=True,
        vertical_spacing=0.24 / len(quantities),
        horizontal_spacing=0.04,
    )
    for row, quantity in enumerate(quantities, start=1):
        result.update_yaxes(title=quantity, row=row, col=1)
    result.update_layout(template=TEMPLATE, height=110 + 270 * len(quantities), margin={"r": 230})
    return result


def add_lines(figure: go.Figure, row: int, column: int, lines: Sequence[list[go.Scatter]]) -> None:
    """Draw lines into a panel; those of a row have a legend of their own, beside it."""
    legend = "legend" if row == 1 else f"legend{row}"
    drawn: Any = figure.data
    named = {trace.name for trace in drawn if trace.legend == legend}
    for trace in (trace for line in lines for trace in line):
        if trace.showlegend is None:
            trace.update(legend=legend, showlegend=trace.name not in named)
        figure.add_trace(trace, row=row, col=column)
    top = next(figure.select_yaxes(row=row, col=1)).domain[1]
    place = {"orientation": "v", "x": 1.02, "y": top, "xanchor": "left", "yanchor": "top"}
    figure.update_layout({legend: place | {"font": {"size": 12}, "tracegroupgap": 0}})
