"""The figure of what each example weighs in a vector."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from tvlens.plots.theme import COLOURS, TEMPLATE, translucent
from tvlens.results import DemonstrationWeights, figure

WIDTH = 0.5
"""Of what the dots of the seeds take beside each other."""


def plot_demonstration_weights(
    result: DemonstrationWeights, theory: Sequence[float] | None = None
) -> go.Figure:
    """Bars of the mean shift by example with 95% intervals, and a line of dots for each seed.

    Args:
        result: the weights.
        theory: one weight for each example, say the last column of `DropoutOptimum.mixing`; drawn
            as a line, without sign and scaled to the mean of the bars.
    """
    table, shift = result.table(), result.data["shift"].mean("episode")
    spread = {"array": table.high - table.estimate, "arrayminus": table.estimate - table.low}
    drawn = go.Figure()
    drawn.add_bar(
        x=table.index,
        y=table.estimate,
        error_y=spread | {"color": COLOURS["icl"], "thickness": 2, "width": 10},
        name="mean",
        marker_color=translucent(COLOURS["icl"], 0.35),
    )
    aside = np.linspace(-WIDTH / 2, WIDTH / 2, shift.sizes["seed"] + 2)[1:-1]
    for seed, place in zip(shift.seed.values.tolist(), aside, strict=True):
        each = shift.sel(seed=seed)
        drawn.add_scatter(
            x=each.example.values + place,
            y=each.values,
            name="a seed",
            legendgroup="seeds",
            showlegend=seed == shift.seed[0].item(),
            mode="lines+markers",
            marker={"color": COLOURS["oracle"], "size": 7},
            line={"color": translucent(COLOURS["oracle"], 0.35), "width": 1},
            hovertemplate=f"seed {seed}: %{{y:.3f}}<extra></extra>",
        )
    if theory is not None:
        sizes = np.abs(np.asarray(theory, dtype=float))
        scaled = sizes * (table.estimate.mean() / sizes.mean())
        line = {"color": COLOURS["tvp"], "dash": "dash", "width": 3}
        drawn.add_scatter(
            x=table.index, y=scaled, name="theory, scaled", line=line, mode="lines+markers"
        )
    drawn.update_xaxes(title="example", tickvals=table.index)
    drawn.update_yaxes(title="shift of the vector / its length", rangemode="tozero")
    title = "Which examples does the vector hold most of?"
    return drawn.update_layout(template=TEMPLATE, title=title, height=420)


@figure.register
def _(result: DemonstrationWeights) -> go.Figure:
    return plot_demonstration_weights(result)
