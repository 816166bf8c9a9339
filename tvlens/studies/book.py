"""A story told in chapters: what papers say, beside what is found, on one page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pandas as pd
import plotly.graph_objects as go

from tvlens.base.progress import progress
from tvlens.plots.page import Section
from tvlens.studies.claims import Claim, claims_table
from tvlens.studies.pages import Page
from tvlens.studies.story import Story


@dataclass(frozen=True)
class Chapter:
    """One question: what was measured, and what a paper says of it."""

    title: str
    """The question."""
    figures: Mapping[str, go.Figure]
    """By the name of their files, the first being the one to look at."""
    numbers: pd.DataFrame
    """What the figures show, ready to be shown."""
    claims: Sequence[Claim]
    """What is said."""
    text: str = ""
    """How to read it."""

    def section(self) -> Section:
        """All of it, the numbers folded."""
        figures = list(self.figures.values())
        return Section(self.title, figures, self.numbers, self.text, folded=True)


Told = Callable[[Story], Chapter]
"""What measures a chapter."""


@dataclass(frozen=True)
class Book:
    """Several chapters under one title."""

    name: str
    """Of its files."""
    title: str
    """What it asks."""
    text: str
    """A paragraph under the title."""
    told: Sequence[Told] = field(repr=False)
    """Its chapters."""

    def page(self, story: Story) -> Page:
        """Measure all chapters: the table of claims, then a section for each."""
        chapters = self._chapters(story)
        table, values = _table(chapters), _values(chapters)
        said = Section("What is said, and what is found", table=table, values=values)
        return Page(
            self.name,
            self.title,
            self.text,
            table,
            sections=[said, *(each.section() for each in chapters)],
            tables={self.name: values},
            figures={name: each for chapter in chapters for name, each in chapter.figures.items()},
        )

    def summary(self, story: Story) -> Section:
        """The same in one section: the table of claims, and the first figure of each chapter."""
        chapters = self._chapters(story)
        return Section(
            self.title,
            [next(iter(each.figures.values())) for each in chapters],
            _table(chapters),
            self.text,
            _values(chapters),
            notes=[
                f"From {story.episodes} episodes, which leaves some claims open: "
                f"`tvlens {self.name.replace('_', '-')}` asks more, and shows all."
            ],
        )

    def _chapters(self, story: Story) -> list[Chapter]:
        return [each(story) for each in progress(self.told, self.name.replace("_", " "))]


def _table(chapters: Sequence[Chapter]) -> pd.DataFrame:
    """The claims of all chapters to read."""
    return claims_table([claim for each in chapters for claim in each.claims])


def _values(chapters: Sequence[Chapter]) -> pd.DataFrame:
    """The claims of all chapters as numbers."""
    return pd.DataFrame(
        [{"chapter": each.title, **asdict(claim)} for each in chapters for claim in each.claims]
    )
