"""A self-contained HTML page of tables and figures, which works offline."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from tvlens.base.files import write_whole
from tvlens.plots.theme import CONFIG, DARK_TEMPLATE, TEMPLATE


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    """Its heading."""
    figures: Sequence[go.Figure] = ()
    """Drawn when the reader comes near them."""
    table: pd.DataFrame | None = None
    """Shown as it is; format its cells before."""
    text: str = ""
    """A paragraph under the heading."""
    values: pd.DataFrame | None = None
    """What the table's button copies, as CSV; the table as it is shown if None."""
    folded: bool = False
    """Whether the table stays folded until it is asked for."""
    notes: Sequence[str] = ()
    """Small print under its end: what was asked."""


def write_page(
    path: Path | str, *, title: str, text: str, sections: Sequence[Section], origin: str = ""
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the file; the plotly library (about 5 MB) goes into it.
        title: the page's heading.
        text: a paragraph under it.
        sections: the parts; three or more get a table of contents.
        origin: where the numbers are from, in small print under the text.
    """
    with_contents = len(sections) > 2
    named = dict(zip(_anchors(sections), sections, strict=True))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title><style>{_resource("page.css")}</style></head><body>
<div class="sheet{" with-contents" if with_contents else ""}">
{_contents(named) if with_contents else ""}<main>
<header><div><h1>{html.escape(title)}</h1>{_paragraph(text)}{_paragraph(origin, "origin")}</div>
<button id="theme" title="Light or dark">light / dark</button></header>
{"".join(_section(each, anchor) for anchor, each in named.items())}
</main></div>
{figure_scripts()}</body></html>"""
    write_whole(Path(path), lambda file: file.write_text(page, encoding="utf-8"))


def figure_block(figure: go.Figure, name: str) -> str:
    """The HTML of a figure, to be drawn by what `figure_scripts` holds.

    Args:
        figure: what is drawn.
        name: its id, and the name of the files that its data are saved as.
    """
    spec = figure.to_plotly_json()
    spec["layout"].pop("template", None)
    # A closing tag within a string would end the script.
    text = str(pio.to_json(spec, validate=False)).replace("</", "<\\/")
    height = figure.layout.height or 450
    buttons = "".join(
        f'<button data-action="{action}" title="{what}">{action.upper()}</button>'
        for action, what in (
            ("csv", "The points that are shown, as a table"),
            ("json", "The figure, for plotly.io.from_json"),
            ("svg", "The figure, as a vector graphic"),
        )
    )
    return (
        f'<figure id="{name}"><div class="scroll"><div class="canvas" style="height:{height}px">'
        f'</div></div><div class="tools">{buttons}</div>'
        f'<script type="application/json">{text}</script></figure>'
    )


def figure_scripts() -> str:
    """The plotly library, and what draws the figures of a page; once, at its end."""
    named = {"light": TEMPLATE, "dark": DARK_TEMPLATE}
    templates = {theme: pio.templates[each].to_plotly_json() for theme, each in named.items()}
    settings = {"templates": templates, "config": CONFIG}
    return (
        f"<script>{get_plotlyjs()}</script>"
        f'<script type="application/json" id="figure-settings">{json.dumps(settings)}</script>'
        f"<script>{_resource('page.js')}</script>"
    )


def _resource(name: str) -> str:
    return files("tvlens.plots").joinpath(name).read_text(encoding="utf-8")


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>' if text else ""


def _anchors(sections: Sequence[Section]) -> list[str]:
    """What links to the sections are called, each only once."""
    anchors: list[str] = []
    for each in sections:
        anchor = re.sub(r"\W+", "-", each.title.lower()).strip("-") or "section"
        anchors.append(f"{anchor}-{len(anchors)}" if anchor in anchors else anchor)
    return anchors


def _contents(sections: Mapping[str, Section]) -> str:
    links = "".join(
        f'<a href="#{anchor}">{html.escape(each.title)}</a>' for anchor, each in sections.items()
    )
    return f'<nav class="contents"><details open><summary>Contents</summary>{links}</details></nav>'


def _section(section: Section, anchor: str) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", _paragraph(section.text)]
    names = (f"{anchor}-{i}" for i in range(1, len(section.figures) + 1))
    drawn = map(figure_block, section.figures, names)
    table = [] if section.table is None else [_table(section)]
    parts += [*drawn, *table] if section.folded else [*table, *drawn]
    parts += [_paragraph(note, "origin") for note in section.notes]
    return f'<section id="{anchor}">{"".join(parts)}</section>'


def _table(section: Section) -> str:
    assert section.table is not None
    shown = section.table.to_html(index=False, border=0)
    values = ""
    if section.values is not None:
        text = section.values.to_csv(index=False).replace("</", "<\\/")
        values = f'<script type="text/csv">{text}</script>'
    block = (
        f'<div class="with-table"><div class="table">{shown}</div>{values}'
        '<div class="tools"><button title="Copy this table">copy as CSV</button></div></div>'
    )
    if not section.folded:
        return block
    return f"<details><summary>Numbers</summary>{block}</details>"
