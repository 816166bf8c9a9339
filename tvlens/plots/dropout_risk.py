"""The figure of risks under token dropout."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, MODEL_COLOURS, TEMPLATE
from tvlens.results import DropoutRisk, figure

STYLES = {"pairwise": (MODEL_COLOURS[1], -0.005), "triplet": (MODEL_COLOURS[2], 0.005)}
"""The colour of each format, and how far it is drawn aside."""


def plot_dropout_risk(result: DropoutRisk) -> go.Figure:
    """Left: R under dropout against the probability that a token stays, a dot for each seed, lines
    through their means, and dotted the least R with C_1 = 0. Right: the share of the risk of pairs
    that triplets save.
    """
    table, runs = result.table().reset_index(), result.seed_means().to_dataframe("R")
    titles = ["risk", "what triplets save"]
    drawn = make_subplots(1, 2, subplot_titles=titles, column_widths=[0.6, 0.4])
    for format, rows in table.groupby("format"):
        colour, aside = STYLES[str(format)]
        seeds = runs[runs.format == format]
        line = go.Scatter(
            x=rows.keep + aside,
            y=rows.estimate,
            error_y={"array": rows.high - rows.estimate, "arrayminus": rows.estimate - rows.low},
            name=str(format),
            mode="lines",
            line={"color": colour},
        )
        dots = go.Scatter(
            x=seeds.keep + aside,
            y=seeds.R,
            name=f"{format}, seeds",
            mode="markers",
            marker={"color": colour, "size": 8, "opacity": 0.6},
            showlegend=False,
        )
        least = _least(rows.set_index("keep").optimum, str(format), colour)
        drawn.add_traces([line, dots, least], rows=1, cols=1)
    gain = result.gain()
    saved = go.Scatter(
        x=gain.index,
        y=gain.estimate,
        error_y={"array": gain.high - gain.estimate, "arrayminus": gain.estimate - gain.low},
        name="(pairwise - triplet) / pairwise",
        mode="markers",
        marker={"color": COLOURS["oracle"], "size": 9},
    )
    optima = table.pivot(index="keep", columns="format", values="optimum").reindex(columns=STYLES)
    by_theory = _least(1 - optima.triplet / optima.pairwise, "saved", COLOURS["oracle"])
    drawn.add_traces([saved, by_theory.update(showlegend=False)], rows=1, cols=2)
    drawn.update_xaxes(title="probability that a token stays", tickvals=optima.index)
    drawn.update_yaxes(title=f"R ({result.data.attrs['d']} is knowing nothing)", col=1)
    drawn.update_yaxes(title="share of R", tickformat=".1%", rangemode="tozero", col=2)
    title = "Do task vectors help where tokens drop out?"
    return drawn.update_layout(template=TEMPLATE, title=title, height=460)


@figure.register
def _(result: DropoutRisk) -> go.Figure:
    return plot_dropout_risk(result)


def _least(optimum: pd.Series, name: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=optimum.index,
        y=optimum.values,
        name=f"{name}, least with C<sub>1</sub> = 0",
        mode="lines",
        line={"color": colour, "dash": "dot"},
    )
