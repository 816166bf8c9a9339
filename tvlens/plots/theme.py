"""How all figures look."""

import itertools
from collections.abc import Iterable

import plotly.graph_objects as go
import plotly.io as pio

TEMPLATE = "plotly_white+tvlens"
"""The template of every figure."""

FONT_SIZE = 14
"""Pixels of the text of every figure; `PaperSize` makes points of them."""

DARK_TEMPLATE = "plotly_dark+tvlens+tvlens_dark"
"""Its counterpart on a dark page."""

CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "toImageButtonOptions": {"format": "svg"},
    "modeBarButtonsToRemove": [
        "sendChartToCloud",
        "select2d",
        "lasso2d",
        "zoomIn2d",
        "zoomOut2d",
        "autoScale2d",
    ],
}
"""Plotly's settings of interactive figures; none sends anything anywhere."""

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
        "font": {"family": "Helvetica, Arial, sans-serif", "size": FONT_SIZE},
        "title": {"x": 0.02, "xanchor": "left"},
        "coloraxis": {
            "colorbar": {"thickness": 16, "title": {"side": "right", "font": {"size": FONT_SIZE}}}
        },
        "xaxis": {"title": {"font": {"size": FONT_SIZE}}},
        "yaxis": {"title": {"font": {"size": FONT_SIZE}}},
        "margin": {"l": 70, "r": 30, "t": 80, "b": 60},
        "legend": {"orientation": "h", "y": -0.22},
        "hoverlabel": {"align": "left"},
    }
)

pio.templates["tvlens_dark"] = go.layout.Template(
    layout={"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
)


def translucent(colour: str, opacity: float = 0.18) -> str:
    """A colour for a band around a line of that colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def model_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each model, the same in all figures of the same models."""
    return dict(zip(names, itertools.cycle(MODEL_COLOURS), strict=False))
