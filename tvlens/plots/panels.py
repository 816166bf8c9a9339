"""Panels of a grid: a row for each quantity, a column for each model."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE


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
