"""The figure of a training history: losses against steps."""

import plotly.graph_objects as go

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
from tvlens.results import History, figure


def plot_history(history: History) -> go.Figure:
    """Losses on a logarithmic axis, as shares of the loss of knowing nothing."""
    result = go.Figure()
    for name in ("icl", "tvp"):
        losses = history.data[name]
        if losses.notnull().any():
            line = {"color": COLOURS[name]}
            result.add_scatter(x=losses.step.values, y=losses.values, name=NAMES[name], line=line)
    result.update_xaxes(title="step")
    result.update_yaxes(title="loss / loss of knowing nothing", type="log")
    result.update_layout(template=TEMPLATE, title="Training", height=420)
    return result


@figure.register
def _(result: History) -> go.Figure:
    return plot_history(result)
