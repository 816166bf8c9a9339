"""The figure of risks: what format and depth cost."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import MODEL_COLOURS, TEMPLATE
from tvlens.results import LinearRisk, figure

COLOURS = dict(zip(("single", "pairwise", "triplet"), MODEL_COLOURS, strict=False))
TICKS = [step * 10.0**power for power in range(-4, 2) for step in (1, 2, 5)]


def plot_linear_risk(result: LinearRisk) -> go.Figure:
    """R against depth, on a logarithmic axis: a line for each format, a dot for each seed, a panel
    for each number of examples.
    """
    table, runs = result.table().reset_index(), result.seed_means().to_dataframe("R")
    panels = sorted(table.examples.unique())
    titles = [f"n = {n}" for n in panels]
    drawn = make_subplots(1, len(panels), subplot_titles=titles, shared_yaxes=True)
    named: set[str] = set()
    for column, n in enumerate(panels, start=1):
        for format, rows in table[table.examples == n].groupby("format"):
            colour = COLOURS[format] if format in COLOURS else MODEL_COLOURS[-1]
            seeds = runs[(runs.examples == n) & (runs.format == format)]
            first = format not in named
            named.add(str(format))
            line = go.Scatter(
                x=rows.layers,
                y=rows.estimate,
                error_y={
                    "array": rows.high - rows.estimate,
                    "arrayminus": rows.estimate - rows.low,
                },
                name=str(format),
                legendgroup=str(format),
                showlegend=first,
                mode="lines",
                # Triplets often hide pairs.
                line={"color": colour, "dash": "dot" if format == "triplet" else "solid"},
            )
            dots = go.Scatter(
                x=seeds.layers,
                y=seeds.R,
                mode="markers",
                legendgroup=str(format),
                showlegend=False,
                marker={"color": colour, "size": 7, "opacity": 0.55},
                hovertemplate=f"{format}, n = {n}<br>%{{x}} layers, R %{{y:.4f}}<extra></extra>",
            )
            drawn.add_traces([line, dots], rows=1, cols=column)
    drawn.update_xaxes(title="layers", dtick=1)
    drawn.update_yaxes(type="log", tickvals=TICKS, ticktext=[f"{each:g}" for each in TICKS])
    drawn.update_yaxes(title="R (dots: seeds)", col=1)
    drawn.update_layout(template=TEMPLATE, title="What do format and depth cost?", height=460)
    return drawn


@figure.register
def _(result: LinearRisk) -> go.Figure:
    return plot_linear_risk(result)
