"""The figure of information flow: two shares of saliency and recovery, block by block."""

from collections.abc import Mapping

import plotly.graph_objects as go
import xarray as xr

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS
from tvlens.results import InformationFlow, figure

_FLOWS = {
    "concat": ("each y to its own example", "#009e73"),
    "form": ("last carrier to all y", "#0072b2"),
}
_QUANTITIES = ("share of saliency", "recency", "recovery")


def plot_information_flow(
    results: InformationFlow | Mapping[str, InformationFlow],
) -> go.Figure:
    """Lines over blocks with 95% bands, a column for each result; `per_head`.

    Above: which share of the saliency of all y goes to their own examples, and which share of the
    last carrier's goes to the y. Middle: whether the y of later examples weigh more for the
    carrier. Dotted: before training. Below: recovery with the vector of each layer, block b
    leading from layer b to layer b + 1; below -1 it is cut off.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, InformationFlow) else dict(results)
    drawn = grid_of_panels(list(named), _QUANTITIES)
    for column, each in enumerate(named.values(), start=1):
        add_lines(drawn, 1, column, _shares(each))
        add_lines(drawn, 2, column, _recency(each))
        line = line_with_band(each.recovery(), "layer", "vector of the layer", COLOURS["tvp"])
        add_lines(drawn, 3, column, [line])
    blocks = max(each.data.sizes["block"] for each in named.values())
    drawn.update_xaxes(dtick=1, range=[-0.2, blocks + 0.2])
    drawn.update_xaxes(title="block", row=2)
    drawn.update_xaxes(title="layer", row=3)
    drawn.update_yaxes(range=[-0.05, 1.08], row=1)
    drawn.update_yaxes(range=[-1.1, 1.1], row=2)
    drawn.update_yaxes(range=[-1.1, 1.15], row=3)
    drawn.update_layout(
        title="Where are examples put together, and where is the vector made of them?",
        legend2={"title": "dotted: before training"},
    )
    return drawn


@figure.register
def _(result: InformationFlow) -> go.Figure:
    return plot_information_flow(result)


def _shares(result: InformationFlow) -> list[list[go.Scatter]]:
    shares = result.shares().sel(measure="per_head")
    lines = []
    for flow, (name, colour) in _FLOWS.items():
        lines += _with_control(shares.sel(flow=flow), name, colour)
    return lines


def _recency(result: InformationFlow) -> list[list[go.Scatter]]:
    recency = result.recency().sel(measure="per_head")
    return _with_control(recency, "later y weigh more", COLOURS["icl"])


def _with_control(bounds: xr.Dataset, name: str, colour: str) -> list[list[go.Scatter]]:
    """The line of the model, and dotted that of an untrained one."""
    trained, untrained = (bounds.sel(weights=each) for each in ("trained", "untrained"))
    control = line_with_band(untrained, "block", f"{name}, untrained", colour, "dot")
    for trace in control:
        trace.update(legendgroup=name, showlegend=False)
    return [line_with_band(trained, "block", name, colour), control]
