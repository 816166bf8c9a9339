"""What a paper says beside what is measured here: stories told on a page."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from command_line import Quiet

import tvlens as tvl
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder, write_whole
from tvlens.base.progress import progress

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Story:
    """Where a story goes, and how much is asked for it."""

    out: Path = Path("figures")
    """Folder of the page (.html) and the table (.csv); the figures (.json) go into a folder in it
    that is called as the page."""
    episodes: int = 4000
    """Episodes of each measurement."""
    seed: int = 20_250_609
    """Seed of the episodes, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    quiet: Quiet = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if self.episodes < 100:
            raise tvl.InputError(f"--episodes {self.episodes} is too few; give at least 100.")

    @property
    def on(self) -> torch.device:
        """The device."""
        return choose_device(self.device)

    def generator(self, further: int = 0) -> torch.Generator:
        """A source of episodes, from its beginning: no chapter depends on those before it.

        Args:
            further: of something else than the episodes, which may not be made of their numbers.
        """
        return torch.Generator(self.on).manual_seed(self.seed + further)


class Agrees(enum.StrEnum):
    """What a measurement says of a claim."""

    YES = "yes"
    """The whole interval is where the claim puts it."""
    NO = "no"
    """None of it is."""
    OPEN = "open"
    """Some of it is: the seeds and episodes asked cannot tell."""


Found = tuple[float, float, float]
"""Estimate, low and high."""


def lies(found: Found, *, above: float = -math.inf, below: float = math.inf) -> Agrees:
    """Whether the interval is between two bounds: for claims of an inequality."""
    _, low, high = found
    if low > above and high < below:
        return Agrees.YES
    return Agrees.NO if high <= above or low >= below else Agrees.OPEN


def holds(found: Found, said: float, *, within: float) -> Agrees:
    """Whether the interval is near what is said: for claims of a number.

    An interval that merely holds the number shows nothing: the fewer the episodes, the more it
    holds.

    Args:
        within: how near, which is for us to choose; a claim shows it as its `bound`.
    """
    _, low, high = found
    if said - within <= low and high <= said + within:
        return Agrees.YES
    return Agrees.NO if high < said - within or low > said + within else Agrees.OPEN


def near(said: float, within: float) -> str:
    """The `bound` of a claim that `holds`."""
    return f"{said:.3g} ± {within:.2g}"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and a measurement that could contradict it."""

    claim: str
    """What is said."""
    paper: str
    """The number there, or the theorem."""
    estimate: float
    """What is measured here."""
    low: float
    """Lower end: of the 95% interval, or of the seeds."""
    high: float
    """Upper end."""
    agrees: Agrees
    """Whether the claim holds here."""
    bound: str = ""
    """Where we ask the whole interval to be for a yes; the paper gives no such bounds."""


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


Told = Callable[[Story], Chapter]
"""What measures a chapter."""


@dataclass(frozen=True)
class Book:
    """Several chapters under one title."""

    name: str
    """Of its files."""
    title: str
    text: str
    """A paragraph under the title."""
    told: Sequence[Told] = field(repr=False)
    """Its chapters."""

    def chapters(self, story: Story) -> list[Chapter]:
        """All chapters, measured one after the other."""
        return [each(story) for each in progress(self.told, self.name.replace("_", " "))]


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row for each claim, ready to be shown."""
    rows = [
        {
            "claim": each.claim,
            "paper": each.paper,
            "we ask": each.bound,
            "measured": f"{each.estimate:.3g} ({each.low:.3g} to {each.high:.3g})",
            "agrees": each.agrees.value,
        }
        for each in claims
    ]
    return pd.DataFrame(rows)


def summary(book: Book, story: Story) -> tvl.plots.Section:
    """A book in one section: all claims in one table, and the first figure of each chapter."""
    chapters = book.chapters(story)
    return tvl.plots.Section(
        book.title,
        [next(iter(each.figures.values())) for each in chapters],
        claims_table([claim for each in chapters for claim in each.claims]),
        book.text,
        _values(chapters),
        notes=[
            f"From {story.episodes} episodes, which leaves some claims open: "
            f"python analyses/{book.name}.py asks more, and shows all."
        ],
    )


def publish(book: Book, story: Story) -> None:
    """Measure, print the table of claims, write page, table and figures, and say where."""
    out = writable_folder(story.out)
    folder, chapters = writable_folder(out / book.name), book.chapters(story)
    table = claims_table([claim for each in chapters for claim in each.claims])
    values = _values(chapters)
    print(table.to_string(index=False))
    write_whole(out / f"{book.name}.csv", lambda file: values.to_csv(file, index=False))
    for chapter in chapters:
        for name, figure in chapter.figures.items():
            tvl.plots.write_figure(figure, folder / f"{name}.json")
    sections = [
        tvl.plots.Section("What is said, and what is found", table=table, values=values),
        *(
            tvl.plots.Section(
                each.title, list(each.figures.values()), each.numbers, each.text, folded=True
            )
            for each in chapters
        ),
    ]
    page = out / f"{book.name}.html"
    tvl.plots.write_page(page, title=book.title, text=book.text, sections=sections)
    print(f"wrote {page}, {out / book.name}.csv, {folder}")


def _values(chapters: Sequence[Chapter]) -> pd.DataFrame:
    """The claims of all chapters as numbers."""
    return pd.DataFrame(
        [{"chapter": each.title, **asdict(claim)} for each in chapters for claim in each.claims]
    )
