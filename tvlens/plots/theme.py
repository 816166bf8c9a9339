"""How all figures look."""

import itertools
from collections.abc import Iterable

import plotly.graph_objects as go
import plotly.io as pio

TEMPLATE = "plotly_white+tvlens"
"""The template of every figure."""

COLOURS = {
    "icl": "#1f5fa8",
    "tvp": "#d1495b",
    "zero_shot": "#8d8d8d",
    "oracle": "#2f2f2f",
}
"""What each kind of error is drawn in, everywhere."""

NAMES = {
    "icl": "in context",
    "tvp": "task vector",
    "zero_shot": "zero-shot",
    "oracle": "oracle",
}
"""What each kind of error is called, everywhere."""

MODEL_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#2f2f2f")
"""What models are drawn in, in the order they are given (Okabe and Ito: safe for colour-blind)."""

pio.templates["tvlens"] = go.layout.Template(
    layout={
        "font": {"family": "Helvetica, Arial, sans-serif", "size": 14},
        "title": {"x": 0.02, "xanchor": "left"},
        "margin": {"l": 70, "r": 30, "t": 80, "b": 60},
        "legend": {"orientation": "h", "y": -0.22},
        "hoverlabel": {"align": "left"},
    }
)


def translucent(colour: str, opacity: float = 0.18) -> str:
    """A colour for a band around a line of that colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def model_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each model, the same in all figures of the same models."""
    return dict(zip(names, itertools.cycle(MODEL_COLOURS), strict=False))
