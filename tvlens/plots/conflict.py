"""The figure of conflicts: which of two tasks the answer follows."""

from collections.abc import Mapping

import plotly.graph_objects as go

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS
from tvlens.results import Conflict, figure, mean_with_interval

_WRITTEN = {
    "own": ("same function's vector", COLOURS["oracle"], "dash"),
    "random": ("random vector", COLOURS["zero_shot"], "dot"),
    "rival": ("rival's vector, last carrier", COLOURS["tvp"], "solid"),
    "rival everywhere": ("rival's vectors, all carriers", COLOURS["icl"], "solid"),
}
_LAYERS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#bba700", "#d95f02")
"""Dark to light, and then again."""
_QUANTITIES = (
    "alpha in the full context",
    "error with the rival's vector",
    "alpha of blends, no context",
)


def plot_conflict(results: Conflict | Mapping[str, Conflict]) -> go.Figure:
    """Lines with 95% bands, a column for each result.

    Above: whom the answer follows when the full context shows one function and the carrier holds
    the vector of another, over layers: 0 is the context, 1 the vector. Middle: the errors against
    both. Below: zero-shot prompts with a blend of two vectors, a line for each layer, over the
    share of the second vector; dotted is a blend that acts as it is mixed.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, Conflict) else dict(results)
    drawn = grid_of_panels(list(named), _QUANTITIES)
    for column, each in enumerate(named.values(), start=1):
        following = each.following()
        lines = [
            line_with_band(following.sel(written=written), "layer", *style)
            for written, style in _WRITTEN.items()
        ]
        add_lines(drawn, 1, column, lines)
        add_lines(drawn, 2, column, _errors(each))
        add_lines(drawn, 3, column, _blends(each))
    drawn.update_xaxes(dtick=1)
    drawn.update_xaxes(title="layer written", row=2)
    drawn.update_xaxes(title="share of the second vector", dtick=0.25, row=3)
    drawn.update_yaxes(range=[-0.15, 1.15], row=1)
    drawn.update_yaxes(range=[0, 1.05 * max(map(_largest_error, named.values()))], row=2)
    drawn.update_yaxes(range=[-0.15, 1.15], row=3)
    drawn.update_layout(title="Context or vector: which task does the answer follow?")
    return drawn


@figure.register
def _(result: Conflict) -> go.Figure:
    return plot_conflict(result)


def _errors(result: Conflict) -> list[list[go.Scatter]]:
    rival = result.data.sel(written="rival")
    styles = (
        ("to_context", "against the context's task", COLOURS["oracle"]),
        ("to_vector", "against the vector's task", COLOURS["tvp"]),
    )
    return [
        line_with_band(mean_with_interval(rival[name], "pair"), "layer", *style)
        for name, *style in styles
    ]


def _largest_error(result: Conflict) -> float:
    errors = result.data.sel(written="rival")
    highs = [mean_with_interval(errors[name], "pair").high for name in ("to_context", "to_vector")]
    return max(float(high.max()) for high in highs)


def _blends(result: Conflict) -> list[list[go.Scatter]]:
    blending = result.blending()
    lines = [
        line_with_band(
            blending.sel(layer=layer), "share", f"layer {layer}", _LAYERS[each % len(_LAYERS)]
        )
        for each, layer in enumerate(blending.layer.values)
    ]
    mixed = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="as mixed",
        hoverinfo="skip",
        line={"color": COLOURS["zero_shot"], "dash": "dot"},
    )
    return [[mixed], *lines]
