"""The figure of risks: what format and depth cost."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, MODEL_COLOURS, TEMPLATE
from tvlens.results import LinearRisk, figure

FORMATS: tuple[str, ...] = ("single", "pairwise", "triplet", "inseparable")
PLACES: dict[str, float] = dict(zip(FORMATS, (-0.09, -0.03, 0.03, 0.09), strict=True))
"""How far the formats are drawn apart, since triplets have the risk of pairs."""
FORMAT_COLOURS: dict[str, str] = dict(zip(FORMATS, MODEL_COLOURS, strict=False))
TICKS = [step * 10.0**power for power in range(-4, 2) for step in (1, 2, 5)]


def plot_linear_risk(result: LinearRisk) -> go.Figure:
    """R against depth, on a logarithmic axis: a line for each format, a dot for each seed, a
    diamond where the least R is proven, a panel for each number of examples.
    """
    table, runs = result.table().reset_index(), result.seed_means().to_dataframe("R")
    panels = sorted(set(table.examples.tolist()))
    titles = [f"{n} examples" for n in panels]
    drawn = make_subplots(
        1, len(panels), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    named: set[str] = set()
    for column, n in enumerate(panels, start=1):
        for format in FORMATS:
            rows, seeds = (_cell(each, format, n) for each in (table, runs))
            for name, trace in _traces(format, rows, seeds).items():
                new = name not in named and not name.endswith("seeds")
                drawn.add_trace(trace.update(legendgroup=name, showlegend=new), row=1, col=column)
                named.add(name)
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


def _cell(table: pd.DataFrame, format: str, examples: int) -> pd.DataFrame:
    return pd.DataFrame(table[(table.examples == examples) & (table.format == format)])


def _traces(format: str, rows: pd.DataFrame, seeds: pd.DataFrame) -> dict[str, go.Scatter]:
    """What is drawn of a format, by its name in the legend."""
    if rows.empty:
        return {}
    colour, place = FORMAT_COLOURS[format], PLACES[format]
    proven = rows[rows.optimum.notna()]
    spread = {"array": rows.high - rows.estimate, "arrayminus": rows.estimate - rows.low}
    traces = {
        format: go.Scatter(
            x=rows.layers + place,
            y=rows.estimate,
            error_y=spread,
            name=format,
            mode="lines",
            line={"color": colour},
            hovertemplate=f"{format}, mean R %{{y:.4f}}<extra></extra>",
        ),
        f"{format}, seeds": go.Scatter(
            x=seeds.layers + place,
            y=seeds.R,
            customdata=seeds[["layers", "seed"]],
            name=f"{format}, seeds",
            mode="markers",
            marker={"color": colour, "size": 8, "opacity": 0.6},
            hovertemplate=f"{format}, %{{customdata[0]}} layers, seed %{{customdata[1]}}<br>"
            "R %{y:.4f}<extra></extra>",
        ),
        "least, proven": go.Scatter(
            x=proven.layers + place,
            y=proven.optimum,
            name="least, proven",
            mode="markers",
            marker={"symbol": "diamond-open", "size": 13, "color": COLOURS["oracle"]},
            hovertemplate="least R that is proven: %{y:.4f}<extra></extra>",
        ),
    }
    return {name: each for name, each in traces.items() if name != "least, proven" or len(proven)}
