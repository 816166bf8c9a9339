"""The figure of risks under token dropout."""

import plotly.graph_objects as go

from tvlens.plots.theme import MODEL_COLOURS, TEMPLATE
from tvlens.results import DropoutRisk, figure


def plot_dropout_risk(result: DropoutRisk) -> go.Figure:
    """R under dropout against the probability that a token stays: a dot for each seed, lines
    through their means, and dotted the least R with C_1 = 0.
    """
    table, runs = result.table().reset_index(), result.seed_means().to_dataframe("R")
    drawn = go.Figure()
    for (format, rows), colour in zip(table.groupby("format"), MODEL_COLOURS[1:], strict=False):
        seeds = runs[runs.run_format == format]
        optimum = result.data.optimum.sel(format=format)
        spread = {"array": rows.high - rows.estimate, "arrayminus": rows.estimate - rows.low}
        line = {"color": colour}
        drawn.add_scatter(
            x=rows.keep, y=rows.estimate, error_y=spread, name=str(format), mode="lines", line=line
        )
        drawn.add_scatter(
            x=seeds.run_keep,
            y=seeds.R,
            name=f"{format}, seeds",
            mode="markers",
            marker=line | {"size": 7, "opacity": 0.55},
            showlegend=False,
        )
        drawn.add_scatter(
            x=optimum.keep.values,
            y=optimum.values,
            name=f"{format}, least with C<sub>1</sub> = 0",
            mode="lines",
            line=line | {"dash": "dot"},
        )
    drawn.update_xaxes(title="probability that a token stays")
    drawn.update_yaxes(title="R under dropout")
    title = "Do task vectors help where tokens drop out?"
    drawn.update_layout(template=TEMPLATE, title=title, height=460)
    return drawn


@figure.register
def _(result: DropoutRisk) -> go.Figure:
    return plot_dropout_risk(result)
