"""The figure of several vectors: errors and gains against the number of examples."""

from collections.abc import Mapping

import plotly.graph_objects as go

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS, NAMES
from tvlens.results import SeveralVectors, figure

_WAYS = {
    "in context": (NAMES["icl"], COLOURS["icl"], "solid"),
    "one vector": ("one vector", COLOURS["tvp"], "solid"),
    "repeated": ("the same on every carrier", COLOURS["zero_shot"], "dot"),
    "several contexts": ("one of each of N + 1 contexts", "#009e73", "solid"),
    "one context": ("N + 1 of one context", "#56b4e9", "dash"),
    "mean vector": ("mean of several contexts", "#c98a1b", "dash"),
}


def plot_several_vectors(results: SeveralVectors | Mapping[str, SeveralVectors]) -> go.Figure:
    """Lines with 95% bands, a column for each result.

    Above: errors of prompts of N examples with and without vectors. Below: how much smaller they
    are than with one vector.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, SeveralVectors) else dict(results)
    drawn = grid_of_panels(list(named), ("error", "gain over one vector"))
    for column, result in enumerate(named.values(), start=1):
        cell = {"selection": "corrected", "dummies": "one"}
        means, gains = result.means().sel(cell), result.gains().sel(cell)
        lines = [
            line_with_band(means.sel(way=way), "examples", *style, unit="error")
            for way, style in _WAYS.items()
        ]
        add_lines(drawn, 1, column, lines)
        over_one = [
            line_with_band(gains.sel(gain=f"{way} - one vector"), "examples", *style, unit="gain")
            for way, style in _WAYS.items()
            if way not in ("in context", "one vector")
        ]
        add_lines(drawn, 2, column, over_one)
    drawn.add_hline(y=0, line={"color": "#bbb", "width": 1}, layer="below")
    drawn.update_xaxes(dtick=1)
    drawn.update_xaxes(title="examples", row=2)
    drawn.update_yaxes(rangemode="tozero", row=1)
    return drawn.update_layout(title="Do several vectors serve better than one?")


@figure.register
def _(result: SeveralVectors) -> go.Figure:
    return plot_several_vectors(result)
