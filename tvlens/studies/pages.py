"""A page to read, with its tables and figures as files beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from tvlens.base.files import writable_folder, write_whole
from tvlens.plots.export import write_figure
from tvlens.plots.page import Section, write_page


@dataclass(frozen=True)
class Page:
    """What a reader gets: a page (.html), tables (.csv) and figures (.json)."""

    name: str
    """Of the page's file, and of the folder of its figures."""
    title: str
    """Its heading."""
    text: str
    """A paragraph under the heading."""
    table: pd.DataFrame
    """What stands on top of it, for a command to print."""
    sections: Sequence[Section]
    """Its parts."""
    tables: Mapping[str, pd.DataFrame]
    """What is shown, as numbers, by the name of the file."""
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    """Those that are wanted as files, by name."""

    def write(self, folder: Path) -> list[Path]:
        """Write everything, each file whole or not at all.

        Returns:
            The page, the tables, and the folder of the figures if there are any.
        """
        page = folder / f"{self.name}.html"
        written = [page]
        for name, table in self.tables.items():
            file = folder / f"{name}.csv"
            write_whole(file, lambda path, table=table: table.to_csv(path, index=False))
            written.append(file)
        if self.figures:
            written.append(writable_folder(folder / self.name))
        for name, figure in self.figures.items():
            write_figure(figure, folder / self.name / f"{name}.json")
        write_page(page, title=self.title, text=self.text, sections=self.sections)
        return written
