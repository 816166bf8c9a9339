"""The figure of vocabularies: which symbols a task vector stands for, layer by layer."""

from collections.abc import Mapping

import plotly.graph_objects as go

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS
from tvlens.results import Vocabulary, figure
from tvlens.results.vocabulary import TOP

_SORTS = {
    "query": ("answer to the own query", COLOURS["tvp"]),
    "outputs": ("other outputs of the context", "#0072b2"),
    "answers": ("other right answers", "#009e73"),
    "inputs": ("other inputs of the context", "#d55e00"),
    "neither": ("neither", "#8d8d8d"),
}
_VECTORS = {
    "own": ("own vector", "#0072b2", "solid"),
    "another": ("another episode's", "#cc79a7", "dash"),
    "mean": ("mean of all episodes", "#e69f00", "dash"),
    "untrained": ("untrained model", "#8d8d8d", "dot"),
}
_QUANTITIES = (f"share of the top {TOP}", "share of other outputs", "mean reciprocal rank")


def plot_vocabulary(results: Vocabulary | Mapping[str, Vocabulary]) -> go.Figure:
    """Lines over layers with 95% bands, a column for each result.

    Above: the sorts of the symbols that come first when a vector is unembedded. Middle: the share
    of outputs that the context shows, with other vectors as controls, and for symbols at random.
    Below: the mean reciprocal rank of the answer to the context's own query, and of these outputs;
    dotted with the vector of another episode.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, Vocabulary) else dict(results)
    drawn = grid_of_panels(list(named), _QUANTITIES)
    for column, each in enumerate(named.values(), start=1):
        shares = each.shares()
        own = shares.sel(vector="own")
        sorts = [
            line_with_band(own.sel(sort=sort), "layer", name, colour)
            for sort, (name, colour) in _SORTS.items()
        ]
        add_lines(drawn, 1, column, sorts)
        outputs = shares.sel(sort="outputs")
        vectors = [
            line_with_band(outputs.sel(vector=vector), "layer", name, colour, dash)
            for vector, (name, colour, dash) in _VECTORS.items()
        ]
        add_lines(drawn, 2, column, [*vectors, _chance(each)])
        add_lines(drawn, 3, column, _ranks(each))
    drawn.update_xaxes(dtick=1)
    drawn.update_xaxes(title="layer", row=3)
    drawn.update_yaxes(range=[-0.05, 1.08])
    return drawn.update_layout(
        title="Which symbols does the task vector stand for?",
        legend3={"title": "dotted: another episode's"},
    )


@figure.register
def _(result: Vocabulary) -> go.Figure:
    return plot_vocabulary(result)


def _chance(result: Vocabulary) -> list[go.Scatter]:
    """The share of outputs among symbols at random."""
    layers, chance = result.data.layer.values, float(result.chance().sel(sort="outputs"))
    line = {"color": "#777", "width": 1}
    return [
        go.Scatter(
            x=layers, y=[chance] * len(layers), name="symbols at random", mode="lines", line=line
        )
    ]


def _ranks(result: Vocabulary) -> list[list[go.Scatter]]:
    ranks, lines = result.reciprocal_ranks(), []
    for sort in ("query", "outputs"):
        name, colour = _SORTS[sort]
        own, another = (ranks.sel(sort=sort, vector=vector) for vector in ("own", "another"))
        control = line_with_band(another, "layer", f"{name}, another's", colour, "dot")
        for trace in control:
            trace.update(legendgroup=name, showlegend=False)
        lines += [line_with_band(own, "layer", name, colour), control]
    return lines
