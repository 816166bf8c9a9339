"""The figure of risks: what format and depth cost."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, MODEL_COLOURS, TEMPLATE
from tvlens.results import LinearRisk, figure

FORMATS = ("single", "pairwise", "triplet")
PLACES = dict(zip(FORMATS, (-0.08, 0.0, 0.08), strict=True))
"""How far the formats are drawn apart, since triplets have the risk of pairs."""
FORMAT_COLOURS = dict(zip(FORMATS, MODEL_COLOURS, strict=False))
TICKS = [step * 10.0**power for power in range(-4, 2) for step in (1, 2, 5)]


def plot_linear_risk(result: LinearRisk) -> go.Figure:
    """R against depth, on a logarithmic axis: a line for each format, a dot for each seed, a
    diamond where the least R is proven, a panel for each number of examples.
    """
    table, runs = result.table().reset_index(), result.seed_means().to_dataframe("R")
    panels = sorted(table.examples.unique())
    titles = [f"{n} examples" for n in panels]
    drawn = make_subplots(
        1, len(panels), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    named: set[str] = set()
    for column, n in enumerate(panels, start=1):
        for format in filter(set(table.format).__contains__, FORMATS):
            rows = table[(table.examples == n) & (table.format == format)]
            seeds = runs[(runs.examples == n) & (runs.format == format)]
            proven = rows.dropna(subset="optimum")
            colour, place = FORMAT_COLOURS[format], PLACES[format]
            line = go.Scatter(
                x=rows.layers + place,
                y=rows.estimate,
                error_y={
                    "array": rows.high - rows.estimate,
                    "arrayminus": rows.estimate - rows.low,
                    "thickness": 1.5,
                },
                name=format,
                mode="lines",
                line={"color": colour},
                hovertemplate=f"{format}, {n} examples<br>mean R %{{y:.4f}}<extra></extra>",
            )
            dots = go.Scatter(
                x=seeds.layers + place,
                y=seeds.R,
                customdata=seeds[["layers", "seed"]],
                name=f"{format}, a seed",
                mode="markers",
                marker={"color": colour, "size": 8, "opacity": 0.6},
                hovertemplate=f"{format}, {n} examples<br>%{{customdata[0]}} layers, "
                "seed %{customdata[1]}: R %{y:.4f}<extra></extra>",
            )
            diamonds = go.Scatter(
                x=proven.layers + place,
                y=proven.optimum,
                name="least, proven",
                mode="markers",
                marker={"symbol": "diamond-open", "size": 13, "color": COLOURS["oracle"]},
                hovertemplate="least R that is proven: %{y:.4f}<extra></extra>",
            )
            for trace in (line, dots, diamonds):
                shown = len(trace.x) > 0 and trace.name not in named
                trace.update(legendgroup=trace.name, showlegend=shown and trace is not dots)
                named |= {trace.name} if shown else set()
                drawn.add_trace(trace, row=1, col=column)
    drawn.update_xaxes(title="layers", dtick=1, range=[0.7, table.layers.max() + 0.3])
    drawn.update_yaxes(type="log", tickvals=TICKS, ticktext=[f"{each:g}" for each in TICKS])
    unit = f"R ({result.data.attrs['d']} is knowing nothing; dots: seeds)"
    drawn.update_yaxes(title=unit, col=1)
    return drawn.update_layout(
        template=TEMPLATE, title="What do format and depth cost?", height=460
    )


@figure.register
def _(result: LinearRisk) -> go.Figure:
    return plot_linear_risk(result)
