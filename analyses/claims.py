"""What a paper says beside what is measured here: the tables of the story pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from command_line import Quiet

import tvlens as tvl
from tvlens.files import writable_folder, write_whole


@dataclass(frozen=True)
class Story:
    """Where a story page goes, and how much is asked for it."""

    out: Path = Path("figures")
    """Folder of the page (.html) and of the table (.csv)."""
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
    agrees: bool
    """Whether the whole interval is where the claim puts it."""


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row for each claim, ready to be shown."""
    rows = [
        {
            "claim": each.claim,
            "paper": each.paper,
            "measured": f"{each.estimate:.3g} ({each.low:.3g} to {each.high:.3g})",
            "agrees": "yes" if each.agrees else "no",
        }
        for each in claims
    ]
    return pd.DataFrame(rows)


def tell(
    story: Story,
    name: str,
    title: str,
    text: str,
    claims: Sequence[Claim],
    sections: Sequence[tvl.plots.Section],
) -> None:
    """Print the table, write page and table, and say where."""
    out = writable_folder(story.out)
    table = claims_table(claims)
    print(table.to_string(index=False))
    values = pd.DataFrame(claims)
    write_whole(out / f"{name}.csv", lambda file: values.to_csv(file, index=False))
    first = tvl.plots.Section("What is said, and what is found", table=table, values=values)
    tvl.plots.write_page(out / f"{name}.html", title=title, text=text, sections=[first, *sections])
    print(f"wrote {out / name}.html, {out / name}.csv")
