"""The figures of distribution shifts: what error remains, and how models differ."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import COLOURS, NAMES, TEMPLATE
from tvlens.results import DistributionShifts, comparable_pairs, figure

MODES = ("icl", "tvp")
ROW_HEIGHT = 24
CHANCE = 0.05


def plot_distribution_shifts(
    results: DistributionShifts | Mapping[str, DistributionShifts],
) -> go.Figure:
    """Bars with 95% intervals: the error that remains under each shift, as a share of the error of
    the same queries without a context. A column for each model.

    Args:
        results: of one model, or of several by name.
    """
    named = {"": results} if isinstance(results, DistributionShifts) else dict(results)
    names = _ordered(named)
    grid = make_subplots(
        cols=len(named), subplot_titles=list(named), shared_yaxes=True, horizontal_spacing=0.03
    )
    for column, result in enumerate(named.values(), start=1):
        remaining, errors = result.remaining(), result.summary().estimate
        for mode in reversed(MODES):  # Of a group of bars, plotly draws the last one on top.
            bars = _bars(remaining.sel(mode=mode), errors, mode, column == 1)
            grid.add_trace(bars, row=1, col=column)
        grid.add_trace(_oracle(result, remaining, errors, column == 1), row=1, col=column)
        line = {"color": COLOURS["zero_shot"], "width": 1, "dash": "dot"}
        grid.add_vline(1, line=line, row=1, col=column)  # pyright: ignore[reportArgumentType]
    grid.update_xaxes(title="error / zero-shot error", rangemode="tozero")
    grid.update_yaxes(**_categories(names), showgrid=False)
    return grid.update_layout(
        template=TEMPLATE,
        title="What error remains when test data come from elsewhere?",
        barmode="group",
        bargap=0.3,
        height=190 + ROW_HEIGHT * len(names),
        legend={"y": -70 / (ROW_HEIGHT * len(names)), "yanchor": "top", "traceorder": "reversed"},
        margin={"b": 110},
    )


def plot_shift_differences(results: Mapping[str, DistributionShifts]) -> go.Figure:
    """Dots with 95% intervals: how much larger a model's errors are than the reference's.

    Differences are paired and divided by the zero-shot error of the reference under the shift, so
    that shifts can be compared. Dots are filled where q < 0.05 after adjustment for all differences
    of the pair. A row for each pair, a column for in context and one for the task vector.

    Args:
        results: several models by name; the first of those with the same episodes and format is
            the reference of the others.
    """
    pairs = comparable_pairs(results)
    names = _ordered(results)
    titles = [f"{NAMES[mode]}: {name} - {ref}" for name, ref in pairs for mode in MODES]
    grid = make_subplots(
        rows=len(pairs),
        cols=2,
        subplot_titles=titles,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.1 / len(pairs),
    )
    cells = 0
    for row, (name, reference) in enumerate(pairs, start=1):
        differences = results[name].compare(results[reference])
        cells = differences.attrs["cells"]
        zero = results[reference].summary().estimate.sel(mode="zero_shot")
        for column, mode in enumerate(MODES, start=1):
            dots = _dots(differences.sel(mode=mode), zero, mode)
            grid.add_trace(dots, row=row, col=column)
            line = {"color": COLOURS["zero_shot"], "width": 1}
            grid.add_vline(0, line=line, row=row, col=column)  # pyright: ignore[reportArgumentType]
    grid.update_xaxes(title="difference / zero-shot error")
    grid.update_yaxes(**_categories(names))
    return grid.update_layout(
        template=TEMPLATE,
        title="Which model bears shifts better?<br><sup>Below 0 the first one; filled: "
        f"q < {CHANCE}, adjusted for {cells} differences</sup>",
        margin={"t": 110},
        showlegend=False,
        height=(190 + ROW_HEIGHT * len(names)) * len(pairs),
    )


@figure.register
def _(result: DistributionShifts) -> go.Figure:
    return plot_distribution_shifts(result)


def _ordered(results: Mapping[str, DistributionShifts]) -> list[str]:
    """References first, then the shifts, of all results."""
    names: dict[str, None] = {}
    for result in results.values():
        names |= dict.fromkeys(result.data.reference.values.tolist())
    for result in results.values():
        names |= dict.fromkeys(result.shifts)
    return list(names)


def _categories(names: list[str]) -> dict:
    """Settings of an axis of names, the first one on top."""
    return {
        "categoryorder": "array",
        "categoryarray": names[::-1],
        "range": [-0.7, len(names) - 0.3],
    }


def _bars(share: xr.Dataset, errors: xr.DataArray, mode: str, show_legend: bool) -> go.Bar:
    estimate, low, high = (share[bound].values for bound in ("estimate", "low", "high"))
    plain = [errors.sel(mode=each).values for each in (mode, "zero_shot")]
    return go.Bar(
        x=estimate,
        y=share["shift"].values,
        orientation="h",
        name=NAMES[mode],
        legendgroup=mode,
        showlegend=show_legend,
        marker={"color": COLOURS[mode]},
        error_x={
            "array": high - estimate,
            "arrayminus": estimate - low,
            "width": 2,
            "thickness": 1,
        },
        customdata=np.stack([low, high, *plain], axis=-1),
        hovertemplate=(
            f"%{{y}}<br>{NAMES[mode]}: %{{x:.3f}} of the zero-shot error, 95% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<br>error %{customdata[2]:.4f}, "
            "zero-shot %{customdata[3]:.4f}<extra></extra>"
        ),
    )


def _oracle(
    result: DistributionShifts, share: xr.Dataset, errors: xr.DataArray, show_legend: bool
) -> go.Scatter:
    known = ["" if each else " of the unshifted task" for each in result.data.oracle_knows.values]
    return go.Scatter(
        x=share.estimate.sel(mode="oracle").values,
        y=share["shift"].values,
        mode="markers",
        name=NAMES["oracle"],
        legendgroup="oracle",
        showlegend=show_legend,
        marker={"symbol": "line-ns", "size": 14, "line": {"color": COLOURS["oracle"], "width": 2}},
        customdata=list(zip(known, errors.sel(mode="oracle").values.tolist(), strict=True)),
        hovertemplate="%{y}<br>oracle%{customdata[0]}: %{x:.3f} of the zero-shot error"
        "<br>error %{customdata[1]:.4f}<extra></extra>",
    )


def _dots(differences: xr.Dataset, zero: xr.DataArray, mode: str) -> go.Scatter:
    scaled = {bound: (differences[bound] / zero).values for bound in ("estimate", "low", "high")}
    filled = differences.q.values < CHANCE
    raw = [differences[each].values for each in ("estimate", "low", "high", "p", "q")]
    return go.Scatter(
        x=scaled["estimate"],
        y=differences["shift"].values,
        mode="markers",
        name=NAMES[mode],
        marker={
            "color": [COLOURS[mode] if each else "#ffffff" for each in filled],
            "size": 8,
            "line": {"color": COLOURS[mode], "width": 1.5},
        },
        error_x={
            "array": scaled["high"] - scaled["estimate"],
            "arrayminus": scaled["estimate"] - scaled["low"],
            "color": COLOURS[mode],
            "thickness": 1,
            "width": 0,
        },
        customdata=np.stack(raw, axis=-1),
        hovertemplate=(
            "%{y}<br>%{x:.3f} of the zero-shot error<br>difference of errors %{customdata[0]:.4f}, "
            "95% interval %{customdata[1]:.4f} to %{customdata[2]:.4f}<br>p %{customdata[3]:.2g}, "
            "q %{customdata[4]:.2g}<extra></extra>"
        ),
    )
