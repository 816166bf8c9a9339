"""A self-contained HTML page of a table and figures, which works offline."""

import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from tvlens.files import write_whole

_STYLE = """
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #222; max-width: 1180px;
       margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; font-weight: 600; }
h2 { font-size: 1.15em; font-weight: 600; margin-top: 2.2em; border-top: 1px solid #ddd;
     padding-top: 1em; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #e4e4e4;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
"""


def write_page(
    path: Path | str,
    *,
    title: str,
    text: str,
    table: pd.DataFrame,
    sections: Sequence[tuple[str, Sequence[go.Figure]]],
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the file; the plotly library (about 5 MB) goes into it.
        title: the page's heading.
        text: a paragraph under it.
        table: shown as it is; format its cells before.
        sections: headings with the figures under each.
    """
    parts = [
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>",
        f'<div class="table">{table.to_html(index=False, border=0)}</div>',
    ]
    for heading, figures in sections:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += [_fragment(figure) for figure in figures]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>{''.join(parts)}</body></html>"
    )
    write_whole(Path(path), lambda file: file.write_text(page, encoding="utf-8"))


def _fragment(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, auto_play=False)
