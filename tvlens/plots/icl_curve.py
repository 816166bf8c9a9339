"""The figure of ICL curves: errors against the number of examples."""

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.bands import line_with_band
from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
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
            line = line_with_band(
                summary[name].to_dataset("bound"),
                "examples",
                NAMES[name],
                COLOURS[name],
                "solid" if name in ("icl", "tvp") else "dot",
                unit="error",
                show_legend=column == 1,
            )
            for trace in line:
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
