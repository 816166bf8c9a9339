"""Lines with bands of their 95% intervals."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from tvlens.plots.theme import translucent


def line_with_band(
    bounds: xr.Dataset,
    over: str,
    name: str,
    colour: str,
    dash: str = "solid",
    *,
    unit: str = "",
    show_legend: bool | None = None,
) -> list[go.Scatter]:
    """The traces of a line.

    Args:
        bounds: `estimate`, `low`, `high` over one dimension.
        over: that dimension; it is the horizontal axis.
        name: in the legend, where lines of one name are one entry.
        unit: what the numbers are, for the hover text; the name if not given.
        show_legend: whether the line has an entry; None leaves it to the figure.
    """
    x = bounds[over].values
    low, high = bounds.low.values, bounds.high.values
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"showlegend": False, "legendgroup": name}
    place = f"{over} %{{x}}" if over in ("layer", "block") else f"%{{x}} {over}"
    return [
        go.Scatter(y=low, **edge),
        go.Scatter(y=high, fill="tonexty", fillcolor=translucent(colour), **edge),
        go.Scatter(
            x=x,
            y=bounds.estimate.values,
            name=name,
            legendgroup=name,
            showlegend=show_legend,
            mode="lines+markers",
            marker={"size": 5},
            line={"color": colour, "dash": dash},
            customdata=np.stack([low, high], axis=1),
            hovertemplate=(
                f"{name}, {place}<br>{unit or name} %{{y:.4f}}, "
                "95% interval %{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
            ),
        ),
    ]
