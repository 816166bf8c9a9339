"""Figures as files: interactive, as data, and as pictures that fit a paper."""

from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio

from tvlens.base.errors import InputError, did_you_mean
from tvlens.base.files import write_whole
from tvlens.plots.theme import CONFIG, FONT_SIZE

PICTURES = ("png", "svg", "pdf")
FORMATS = ("html", "json", *PICTURES)
"""What a figure can be written as, named by the ending of the file."""


@dataclass(frozen=True)
class PaperSize:
    """The width of a figure in print."""

    millimetres: float
    """From edge to edge."""
    points: float = 8.0
    """Size of its text."""
    dots_per_inch: float = 300.0
    """Of pictures made of dots (PNG)."""

    @property
    def scale(self) -> float:
        """Pixels on paper (96 to the inch) of a pixel in the layout."""
        return self.points / 72 * 96 / FONT_SIZE

    @property
    def width(self) -> int:
        """Pixels of the layout."""
        return round(self.millimetres / 25.4 * 96 / self.scale)


PAPER = {"single-column": PaperSize(89.0), "double-column": PaperSize(183.0)}
"""Widths of columns as most journals and conferences have them."""


def write_figure(
    figure: go.Figure, path: Path | str, *, paper: str | None = None, scale: float = 2.0
) -> None:
    """Write a figure, whole or not at all, in the format that the file's ending names.

    HTML works offline, JSON is for `plotly.io.read_json`. PNG, SVG and PDF need a browser.

    Args:
        figure: what is drawn.
        path: ends in .html, .json, .png, .svg or .pdf.
        paper: `single-column` (89 mm) or `double-column` (183 mm): text is 8 points then, and what
            belongs to a screen or a caption is left out (`paper_figure`). As on a screen if None.
        scale: without a paper, dots of a PNG for each pixel of the layout.

    Raises:
        InputError: the ending or the paper is none of these; kaleido or a browser is missing.
    """
    path = Path(path)
    format = path.suffix.removeprefix(".").lower()
    if format not in FORMATS:
        known = ", ".join(f".{each}" for each in FORMATS)
        raise InputError(f"Cannot write {path}: its ending says no format; give one of {known}.")
    drawn = figure if paper is None else paper_figure(figure, paper)
    if format == "html":
        text = drawn.to_html(include_plotlyjs=True, auto_play=False, config=CONFIG)
        write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
    elif format == "json":
        text = str(pio.to_json(drawn))
        write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
    else:
        image = _picture(drawn, path, format, _scale(format, paper, scale))
        write_whole(path, lambda file: file.write_bytes(image))


def paper_figure(figure: go.Figure, paper: str) -> go.Figure:
    """The figure as it fits a paper: as wide as a column, without title, sliders and buttons.

    A slider stays where it stands. Panels keep their height, and become narrower or wider; what
    has many of them, or long labels, wants two columns.

    Args:
        figure: left as it is.
        paper: `single-column` or `double-column`.

    Raises:
        InputError: there is no such paper.
    """
    if paper not in PAPER:
        raise InputError(
            f"There is no paper size {paper!r}.{did_you_mean(paper, list(PAPER))} "
            f"Known: {', '.join(PAPER)}."
        )
    layout = figure.layout
    removed = 45 if layout.title.text else 0
    margin = {"t": max((layout.margin.t or 80) - removed, 30), "r": layout.margin.r or 15, "l": 60}
    sliders = 90 * len(layout.sliders)
    drawn = go.Figure(figure).update_layout(
        width=PAPER[paper].width,
        height=(layout.height or 450) - removed - sliders,
        margin=margin,
        title=None,
    )
    drawn.layout.sliders = drawn.layout.updatemenus = ()
    drawn.for_each_annotation(lambda each: each.update(font={"size": FONT_SIZE}))
    return drawn


def _scale(format: str, paper: str | None, scale: float) -> float:
    if paper is None:
        return scale if format == "png" else 1.0
    size = PAPER[paper]
    return size.scale * (size.dots_per_inch / 96 if format == "png" else 1)


def _picture(figure: go.Figure, path: Path, format: str, scale: float) -> bytes:
    """Let a headless browser draw the figure."""
    try:
        return figure.to_image(format=format, scale=scale)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(",. ")
        raise InputError(
            f"Cannot draw {path}: {reason}. Pictures need the extra "
            "`pip install 'tvlens[pictures]'` and a Chrome or Chromium browser (set BROWSER_PATH "
            "if it is in no usual place). HTML and JSON need neither."
        ) from error
