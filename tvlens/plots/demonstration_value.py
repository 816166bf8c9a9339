"""The figure of what task vectors are worth in examples."""

from collections.abc import Mapping

import plotly.graph_objects as go
import xarray as xr

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS, translucent
from tvlens.results import DemonstrationValue, figure

PAPER = "#c98a1b"
"""Colour of vectors as the paper's code gives them."""
_VECTORS = {
    "corrected": ("vectors", COLOURS["tvp"], "solid"),
    "paper": ("vectors, as the paper's code", PAPER, "dash"),
}
_QUANTITIES = ("error of the direction", "error", "worth in examples, by direction")
HIGHEST = 2.1
"""Errors above it are left out of the picture: those of contexts on one line grow without end."""


def plot_demonstration_value(
    results: DemonstrationValue | Mapping[str, DemonstrationValue],
) -> go.Figure:
    """Errors against the number of examples in a context, and of vectors in a prompt without any; a
    column for each result. Bands are over seeds and episodes, thin lines single seeds.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, DemonstrationValue) else dict(results)
    drawn = grid_of_panels(list(named), _QUANTITIES)
    for column, result in enumerate(named.values(), start=1):
        for row, metric in ((1, "direction"), (2, "error")):
            add_lines(drawn, row, column, _errors(result, metric))
        add_lines(drawn, 3, column, _worth(result))
    drawn.update_xaxes(dtick=1)
    drawn.update_xaxes(title="examples, or vectors without examples", row=3)
    for row in (1, 2):
        drawn.update_yaxes(range=[0, HIGHEST], row=row)
    longest = max(each.data.sizes["examples"] for each in named.values())
    drawn.update_yaxes(range=[0, longest - 0.8], row=3)
    return drawn.update_layout(title="How many examples is a task vector worth?")


@figure.register
def _(result: DemonstrationValue) -> go.Figure:
    return plot_demonstration_value(result)


def _errors(result: DemonstrationValue, metric: str) -> list[list[go.Scatter]]:
    cell = {"metric": metric, "selection": "all seeds"}
    context = result.context_errors().sel(missing="cut").sel(cell)
    vectors = result.vector_errors().sel(cell)
    by_seed = result.data.sel(metric=metric).mean("episode")
    lines = _seeds(by_seed.context.sel(missing="cut"), "examples", COLOURS["icl"])
    for injection, (_, colour, _) in _VECTORS.items():
        each = by_seed.vectors.sel(injection=injection, source="own")
        lines += _seeds(each, "number", colour)
    lines.append(line_with_band(context, "examples", "examples", COLOURS["icl"], unit="error"))
    for injection, style in _VECTORS.items():
        own = vectors.sel(injection=injection, source="own")
        lines.append(line_with_band(own, "number", *style, unit="error"))
    other = vectors.sel(injection="corrected", source="another function")
    control = ("vectors of another function", COLOURS["zero_shot"], "dot")
    return [*lines, line_with_band(other, "number", *control, unit="error")]


def _worth(result: DemonstrationValue) -> list[list[go.Scatter]]:
    cell = {"metric": "direction", "missing": "cut", "source": "own"}
    worth, by_seed = result.worth().sel(cell), result.worth_by_seed().sel(cell)
    count = int(result.data.number[-1])
    each = go.Scatter(
        x=[1, count],
        y=[1, count],
        mode="lines",
        name="an example each",
        hoverinfo="skip",
        line={"color": COLOURS["oracle"], "dash": "dot", "width": 1},
    )
    lines: list[list[go.Scatter]] = [[each]]
    for injection, style in _VECTORS.items():
        lines += _seeds(by_seed.sel(injection=injection), "number", style[1])
    for injection, style in _VECTORS.items():
        of = worth.sel(injection=injection)
        lines.append(line_with_band(of, "number", *style, unit="worth"))
    return lines


def _seeds(values: xr.DataArray, over: str, colour: str) -> list[list[go.Scatter]]:
    """A thin line for each seed."""
    return [
        [
            go.Scatter(
                x=each[over].values,
                y=each.values,
                mode="lines",
                line={"color": translucent(colour, 0.45), "width": 1},
                name=f"seed {seed}",
                showlegend=False,
                hovertemplate=f"seed {seed}: %{{y:.4f}}<extra></extra>",
            )
        ]
        for seed, each in enumerate(values, start=1)
    ]
