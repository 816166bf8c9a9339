"""The figure of attention maps: which tokens each head looks at."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from tvlens.plots.theme import TEMPLATE
from tvlens.results import AttentionMap, figure


def plot_attention_map(maps: AttentionMap | Mapping[str, AttentionMap]) -> go.Figure:
    """Heat maps with a row for each head and a column for each kind of token it may look at.

    From top to bottom, the token that looks: each role of a context, then the answer token of a
    zero-shot prompt with the vector and without. Models stand side by side, on one colour scale.

    Args:
        maps: one map, or several by name.
    """
    named = {"": maps} if isinstance(maps, AttentionMap) else dict(maps)
    columns = [_panels(each) for each in named.values()]
    rows = max(map(len, columns))
    titles = [
        f"{name}<br>{list(panels)[row]}" if name else list(panels)[row]
        for row in range(rows)
        for name, panels in zip(named, columns, strict=True)
        if row < len(panels)
    ]
    result = make_subplots(
        rows, len(named), subplot_titles=titles, vertical_spacing=0.28 / rows, shared_yaxes=True
    )
    for column, panels in enumerate(columns, start=1):
        for row, (title, attention) in enumerate(panels.items(), start=1):
            result.add_trace(_heat_map(title, attention), row=row, col=column)
    result.update_yaxes(type="category", autorange="reversed", tickfont={"size": 11})
    result.update_yaxes(title="head", col=1)
    result.update_xaxes(type="category", tickfont={"size": 11})
    heads = max(each.data.sizes["block"] * each.data.sizes["head"] for each in named.values())
    result.update_layout(
        template=TEMPLATE,
        title="Which tokens does each head look at?",
        coloraxis={
            "colorscale": "Blues",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"title": "attention", "len": 0.4},
        },
        height=160 + rows * (110 + 18 * heads),
        margin={"t": 110},
    )
    return result


@figure.register
def _(result: AttentionMap) -> go.Figure:
    return plot_attention_map(result)


def _panels(result: AttentionMap) -> dict[str, xr.DataArray]:
    """Attention (bound, heads, looked_at) by what looks."""
    means, attrs = result.means(), result.data.attrs
    panels = {}
    for role in means["query"].values:
        attention = means.context.sel(query=role).stack(at=("key", "distance"))
        possible = attention.sel(bound="estimate").max(["block", "head"]).values > 0
        attention = attention.isel(at=possible)
        labels = [f"{key}<br>{distance}" for key, distance in attention["at"].values]
        panels[f"{_named(role, attrs)} in a context looks at"] = _table(attention, labels)
    kinds = {"zero_shot": "without", "prompted": f"with vector at layer {attrs['layer']}"}
    prompts = xr.concat([means[kind] for kind in kinds], "kind")
    prompts = prompts.sel(asking=attrs["answer"]).stack(at=("asked", "kind"))
    labels = [f"{key}<br>{list(kinds.values())[kind]}" for key, kind in prompts["at"].values]
    title = f"{_named(attrs['answer'], attrs)} in a zero-shot prompt looks at"
    return panels | {title: _table(prompts, labels)}


def _named(role: str, attrs: Mapping[str, object]) -> str:
    titles = [kind for kind in ("carrier", "answer") if attrs[kind] == role]
    return f"{role} ({', '.join(titles)})" if titles else role


def _table(attention: xr.DataArray, labels: list[str]) -> xr.DataArray:
    """One row for each head."""
    stacked = attention.stack(part=("block", "head")).transpose("bound", "part", "at")
    heads = [f"L{block}H{head}" for block, head in stacked.part.values]
    coords = {"bound": stacked.bound.values, "head": heads, "at": labels}
    return xr.DataArray(stacked.values, coords, ("bound", "head", "at"))


def _heat_map(title: str, attention: xr.DataArray) -> go.Heatmap:
    bounds = attention.sel(bound=["low", "high"]).transpose("head", "at", "bound")
    return go.Heatmap(
        z=attention.sel(bound="estimate").values,
        x=attention["at"].values,
        y=attention["head"].values,
        customdata=np.asarray(bounds.values),
        coloraxis="coloraxis",
        texttemplate="%{z:.2f}",
        textfont={"size": 10},
        hovertemplate=(
            f"{title} %{{x}}<br>%{{y}}: %{{z:.3f}} of its attention, 95% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>"
        ),
    )
