"""The figure of part effects: what single heads and MLPs do for the vector and the answer."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import PartEffects, figure


def plot_part_effects(results: PartEffects | Mapping[str, PartEffects]) -> go.Figure:
    """Heat maps with a row for each part and a column for each thing done to it.

    Blue: the part is needed, or restores the answer; red: the other way round. Numbers stand where
    q < 0.05, that is where the effect differs from 0 when all cells are tested together, and where
    they do not round to 0.

    Args:
        results: one result, or several by name.
    """
    named = {"": results} if isinstance(results, PartEffects) else dict(results)
    drawn = make_subplots(
        cols=len(named), subplot_titles=list(named), horizontal_spacing=0.18 / len(named)
    )
    for column, each in enumerate(named.values(), start=1):
        drawn.add_trace(_heat_map(each), row=1, col=column)
    drawn.update_yaxes(type="category", autorange="reversed", tickfont={"size": 12})
    drawn.update_xaxes(type="category", tickangle=-60, tickfont={"size": 12})
    parts = max(each.data.sizes["part"] for each in named.values())
    drawn.update_layout(
        template=TEMPLATE,
        title="Which heads and MLPs write the task vector, and which read it?",
        coloraxis={
            "colorscale": "RdBu",
            "cmin": -1,
            "cmax": 1,
            "colorbar": {"title": "share"},
        },
        height=330 + 20 * parts,
        margin={"b": 200},
    )
    return drawn


@figure.register
def _(result: PartEffects) -> go.Figure:
    return plot_part_effects(result)


def _heat_map(result: PartEffects) -> go.Heatmap:
    effects = result.effects().transpose("part", "effect")
    labels = _labels(result)
    estimate, q = effects.estimate.values, effects.q.values
    return go.Heatmap(
        z=estimate,
        x=[labels[effect][0] for effect in effects.effect.values],
        y=effects.part.values,
        text=np.where((q < 0.05) & (np.abs(estimate) >= 0.005), np.char.mod("%.2f", estimate), ""),
        texttemplate="%{text}",
        textfont={"size": 11},
        customdata=np.stack(
            [
                effects.low.values,
                effects.high.values,
                q,
                np.broadcast_to([labels[each][1] for each in effects.effect.values], q.shape),
            ],
            axis=-1,
        ),
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate=(
            "%{y}<br>%{customdata[3]}: %{z:.3f}<br>95% interval %{customdata[0]:.3f} to "
            "%{customdata[1]:.3f}, q %{customdata[2]:.3f}<extra></extra>"
        ),
    )


def _labels(result: PartEffects) -> dict[str, tuple[str, str]]:
    """A short and a long name of each effect."""
    recovery = "recovery lost"
    return {
        "written": ("written at carrier", f"{recovery} without the part at the carrier"),
        "gathered": ("written anywhere", f"{recovery} without the part in the whole context"),
        "read": ("read by answer", f"{recovery} without the part while the vector is read"),
        "in_context": ("in context", "gain of the context lost without the part"),
        "carrier": ("patched at carrier", "answer restored by the part at the carrier"),
        "carrier_removed": ("removed at carrier", "answer restored by its mean at the carrier"),
        "answer": ("patched at answer", "answer restored by the part at the answer token"),
        "answer_removed": ("removed at answer", "answer restored by its mean at the answer token"),
    }
