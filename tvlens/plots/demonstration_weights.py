"""The figure of what each example weighs in a vector."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from tvlens.plots.theme import COLOURS, TEMPLATE
from tvlens.results import DemonstrationWeights, figure


def plot_demonstration_weights(
    result: DemonstrationWeights, theory: Sequence[float] | None = None
) -> go.Figure:
    """Bars of the mean shift by example with 95% intervals, and a dot for each seed.

    Args:
        result: the weights.
        theory: one weight for each example, say the last column of `DropoutOptimum.mixing`; drawn
            as a line, without sign and scaled to the mean of the bars.
    """
    table, seeds = result.table(), result.data["shift"].mean("episode").to_dataframe().reset_index()
    spread = {"array": table.high - table.estimate, "arrayminus": table.estimate - table.low}
    drawn = go.Figure()
    drawn.add_bar(
        x=table.index,
        y=table.estimate,
        error_y=spread,
        name="mean",
        marker_color=COLOURS["icl"],
        opacity=0.6,
    )
    dots = {"color": COLOURS["oracle"], "size": 6, "opacity": 0.6}
    drawn.add_scatter(x=seeds.example, y=seeds["shift"], mode="markers", name="seeds", marker=dots)
    if theory is not None:
        sizes = np.abs(np.asarray(theory, dtype=float))
        scaled = sizes * (table.estimate.mean() / sizes.mean())
        line = {"color": COLOURS["tvp"]}
        drawn.add_scatter(x=table.index, y=scaled, name="theory, scaled", line=line)
    drawn.update_xaxes(title="example", dtick=1)
    drawn.update_yaxes(title="shift of the vector / its length")
    title = "Which examples does the vector hold most of?"
    drawn.update_layout(template=TEMPLATE, title=title, height=420)
    return drawn


@figure.register
def _(result: DemonstrationWeights) -> go.Figure:
    return plot_demonstration_weights(result)
