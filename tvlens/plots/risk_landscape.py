"""The figure of risk landscapes: errors along the structured sets and off them."""

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.bands import line_with_band
from tvlens.plots.theme import TEMPLATE, model_colours
from tvlens.results import RiskLandscape, figure

KINDS = {
    "along": "along the set",
    "across": "off the set",
    "nearly flat": "nearly flat",
    "flat": "flat by symmetry",
}
"""What each kind of direction is called."""
_TOKENS = {"all": "no tokens dropped", "dropped": "tokens dropped, as in training"}
_HEIGHT = 1.15
"""Where the error axis ends: a model that says nothing is at 1."""


def plot_risk_landscape(result: RiskLandscape) -> go.Figure:
    """Curves of the error with 95% bands, a panel for each kind of direction; each seed thin.

    Models trained with dropout have a row without it and one with it.
    """
    curves = result.curves()
    seeds = result.data.error.mean("episode")
    kinds = [kind for kind in KINDS if kind in curves.kind.values]
    tokens = list(curves.tokens.values)
    drawn = make_subplots(
        len(tokens),
        len(kinds),
        subplot_titles=[KINDS[kind] for kind in kinds],
        row_titles=[_TOKENS[each] for each in tokens] if len(tokens) > 1 else None,
        shared_yaxes=True,
        shared_xaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.06,
    )
    styles = _styles(curves)
    for row, each in enumerate(tokens, start=1):
        for column, kind in enumerate(kinds, start=1):
            for part in curves.part.values[curves.kind.values == kind]:
                here = {"part": part, "tokens": each}
                colour, dash = styles[part]
                lines = line_with_band(
                    curves.sel(here),
                    "step",
                    part,
                    colour,
                    dash,
                    unit="error",
                    show_legend=row == 1,
                )
                for direction in _every(seeds, part, each):
                    drawn.add_trace(_thin(direction, colour), row=row, col=column)
                for trace in lines:
                    drawn.add_trace(trace, row=row, col=column)
                if each == "all" and "closed_form" in result.data and kind != "across":
                    theory = result.closed_form().sel(part=part)
                    legend = row == 1 and part == curves.part.values[0]
                    drawn.add_trace(_theory(theory, legend), row=row, col=column)
    drawn.update_xaxes(title="step", row=len(tokens), zeroline=True)
    drawn.update_yaxes(range=[0, _HEIGHT])
    drawn.update_yaxes(title="error", col=1)
    return drawn.update_layout(
        template=TEMPLATE,
        title="Is the model at a minimum, and what does it cost to leave it?",
        height=170 + 330 * len(tokens),
        legend={"y": -0.28 / len(tokens)},
    )


@figure.register
def _(result: RiskLandscape) -> go.Figure:
    return plot_risk_landscape(result)


def _styles(curves: xr.Dataset) -> dict[str, tuple[str, str]]:
    """Colour and dash of each part: colours say what moves, and dashes in which layer."""
    split = {part: part.partition(", layer ") for part in map(str, curves.part.values)}
    colours = model_colours(dict.fromkeys(name for name, _, _ in split.values()))
    dashes = ("solid", "dash", "dot")
    return {
        part: (colours[name], dashes[int(layer or 1) % len(dashes) - 1])
        for part, (name, _, layer) in split.items()
    }


def _every(errors: xr.DataArray, part: str, tokens: str) -> list[xr.DataArray]:
    """The curves of single seeds and directions."""
    some = errors.isel(direction=errors.part.values == part).sel(tokens=tokens)
    return list(some.stack(one=("seed", "direction")).transpose("one", "step"))


def _thin(errors: xr.DataArray, colour: str) -> go.Scatter:
    return go.Scatter(
        x=errors.step.values,
        y=errors.values,
        mode="lines",
        line={"color": colour, "width": 0.6},
        opacity=0.45,
        showlegend=False,
        hoverinfo="skip",
    )


def _theory(errors: xr.DataArray, show_legend: bool) -> go.Scatter:
    return go.Scatter(
        x=errors.step.values,
        y=errors.values,
        name="closed form",
        legendgroup="closed form",
        showlegend=show_legend,
        mode="markers",
        marker={"symbol": "circle-open", "size": 9, "color": "#2f2f2f"},
        hovertemplate="closed form, step %{x}<br>error %{y:.4f}<extra></extra>",
    )
