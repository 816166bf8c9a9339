"""The figure of a training history: losses against steps."""

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
from tvlens.results import History, figure


def plot_history(histories: History | Mapping[str, History]) -> go.Figure:
    """Losses on a logarithmic axis, as shares of the loss of knowing nothing.

    Args:
        histories: one, or several by name, side by side.
    """
    named = {"": histories} if isinstance(histories, History) else dict(histories)
    result = make_subplots(cols=len(named), subplot_titles=list(named), shared_yaxes=True)
    shown = set()
    for column, history in enumerate(named.values(), start=1):
        for name in ("icl", "tvp"):
            losses = history.data[name]
            if not losses.notnull().any():
                continue
            line = go.Scatter(
                x=losses.step.values,
                y=losses.values,
                name=NAMES[name],
                legendgroup=name,
                showlegend=name not in shown,
                line={"color": COLOURS[name]},
                hovertemplate=f"{NAMES[name]}, step %{{x}}<br>loss %{{y:.4f}}<extra></extra>",
            )
            shown.add(name)
            result.add_trace(line, row=1, col=column)
    result.update_xaxes(title="step")
    result.update_yaxes(type="log")
    result.update_yaxes(title="loss / loss of knowing nothing", col=1)
    result.update_layout(template=TEMPLATE, title="Losses in training", height=420)
    return result


@figure.register
def _(result: History) -> go.Figure:
    return plot_history(result)
