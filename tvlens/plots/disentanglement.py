"""The figure of disentanglement: recovery, leakage and context variance over layers."""

from collections.abc import Mapping

import plotly.graph_objects as go

from tvlens.plots.bands import line_with_band
from tvlens.plots.panels import add_lines, grid_of_panels
from tvlens.plots.theme import COLOURS
from tvlens.results import Disentanglement, figure, recovery

_NUISANCES = {
    "last x": "#0072b2",
    "last y": "#d55e00",
    "examples": "#009e73",
    "query": "#cc79a7",
}
_QUANTITIES = ("recovery", "leakage: held-out R²", "share of variance")


def plot_disentanglement(
    results: Disentanglement | Mapping[str, Disentanglement],
) -> go.Figure:
    """Lines over layers with 95% bands, a column for each result.

    Above: recovery with vectors of single contexts and with their mean; where the carrier has seen
    its query, also with the vector of that very query. Middle: what a ridge regression reads off
    the vectors that is no property of the function, with the shuffled controls dotted. Below: the
    share of the vectors' variance that lies within functions. Recovery below -1 is cut off.

    Args:
        results: one, or several by name.
    """
    named = {"": results} if isinstance(results, Disentanglement) else dict(results)
    drawn = grid_of_panels(list(named), _QUANTITIES)
    for column, each in enumerate(named.values(), start=1):
        add_lines(drawn, 1, column, _recoveries(each))
        add_lines(drawn, 2, column, _leakages(each))
        variance = each.context_variance()
        line = line_with_band(variance, "layer", "within functions", COLOURS["icl"])
        add_lines(drawn, 3, column, [line])
    drawn.update_xaxes(dtick=1)
    drawn.update_xaxes(title="layer", row=3)
    drawn.update_yaxes(range=[-1.1, 1.15], row=1)
    drawn.update_yaxes(range=[-0.15, 1.08], row=2)
    drawn.update_yaxes(range=[-0.05, 1.08], row=3)
    drawn.update_layout(legend2={"title": "dotted: shuffled"})
    drawn.update_layout(title="Does the task vector hold the task and nothing else?")
    return drawn


@figure.register
def _(result: Disentanglement) -> go.Figure:
    return plot_disentanglement(result)


def _recoveries(result: Disentanglement) -> list[list[go.Scatter]]:
    data, recovered = result.data, result.recovery()
    contexts = int(recovered.averaged[-1])
    lines = [
        (recovered.isel(averaged=0), "one context's vector", COLOURS["tvp"], "solid"),
        (recovered.isel(averaged=-1), f"mean of {contexts} contexts", COLOURS["icl"], "solid"),
    ]
    if data.attrs["carrier_sees_query"]:
        own = recovery(data.own, data.own_zero_shot, data.icl, "function")
        lines.append((own, "vector of the same query", COLOURS["oracle"], "dash"))
    other = recovery(data.other, data.zero_shot, data.icl, "function")
    lines.append((other, "another function's", COLOURS["zero_shot"], "dot"))
    return [line_with_band(bounds, "layer", *style) for bounds, *style in lines]


def _leakages(result: Disentanglement) -> list[list[go.Scatter]]:
    lines = []
    for shuffled in (False, True):
        leakage = result.leakage(shuffled)
        for name, colour in _NUISANCES.items():
            dash, ending = ("dot", ", shuffled") if shuffled else ("solid", "")
            bounds = leakage.sel(nuisance=name)
            line = line_with_band(bounds, "layer", name + ending, colour, dash)
            for trace in line if shuffled else ():
                trace.update(legendgroup=name, showlegend=False)
            lines.append(line)
    return lines
