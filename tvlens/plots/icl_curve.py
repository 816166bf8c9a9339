"""The figure of ICL curves: errors against the number of examples."""

from collections.abc import Mapping

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE, translucent
from tvlens.results import ICLCurve, figure


def plot_icl_curve(curves: ICLCurve | Mapping[str, ICLCurve]) -> go.Figure:
    """Lines with 95% bands, a panel for each curve; panels share the error axis.

    Args:
        curves: one curve, or several by name.
    """
    named = {"": curves} if isinstance(curves, ICLCurve) else dict(curves)
    result = make_subplots(cols=len(named), subplot_titles=list(named), shared_yaxes=True)
    for column, curve in enumerate(named.values(), start=1):
        summary = curve.summary()
        for name in ("zero_shot", "oracle", "icl", "tvp"):
            for trace in _line_with_band(name, summary[name], show_legend=column == 1):
                result.add_trace(trace, row=1, col=column)
    result.update_xaxes(title="examples in the context")
    result.update_yaxes(title="error", col=1, rangemode="tozero")
    result.update_layout(
        template=TEMPLATE, title="What the context gives, and what one vector keeps", height=420
    )
    return result


@figure.register
def _(result: ICLCurve) -> go.Figure:
    return plot_icl_curve(result)


def _line_with_band(name: str, values: xr.DataArray, show_legend: bool) -> list[go.Scatter]:
    colour, x = COLOURS[name], values.examples.values
    low, mean, high = (values.sel(bound=bound).values for bound in ("low", "estimate", "high"))
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"showlegend": False, "legendgroup": name}
    return [
        go.Scatter(y=low, **edge),
        go.Scatter(y=high, fill="tonexty", fillcolor=translucent(colour), **edge),
        go.Scatter(
            x=x,
            y=mean,
            name=NAMES[name],
            legendgroup=name,
            showlegend=show_legend,
            customdata=values.sel(bound=["low", "high"]).transpose("examples", "bound").values,
            line={"color": colour, "dash": "solid" if name in ("icl", "tvp") else "dot"},
            hovertemplate=(
                f"{NAMES[name]}, %{{x}} examples<br>error %{{y:.4f}}, 95% interval "
                "%{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
            ),
        ),
    ]
