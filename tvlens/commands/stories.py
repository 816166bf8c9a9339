"""`tvlens linear-theory`, `tvlens task-vector-limits`: what papers say, beside what is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvlens.base.files import writable_folder
from tvlens.commands.endings import quietly
from tvlens.commands.parsing import Quiet, parse
from tvlens.studies.books import BOOKS
from tvlens.studies.story import Story

DESCRIPTIONS = {
    "linear_theory": """The theory of linear transformers (arXiv 2506.09048) on models that ship:
what their weights look like and what lies around them, what risk they reach, what dropout changes,
and which examples a vector is made of. A page with figures, and a table of what is said beside what
is found. The models come from `tvlens train --preset triplet-2x5 --seed 1` and the like.

Example: tvlens linear-theory --out figures/theory""",
    "task_vector_limits": """The limits of one task vector (arXiv 2506.09048) on models that ship:
how many examples it is worth, that it holds a map of rank one and no more, what several vectors
add, where a softmax transformer makes it, and which symbols it stands for. A page with figures, and
a table of what is said beside what is found.

Example: tvlens task-vector-limits --out figures/limits""",
}
"""What --help says, by the name of the story."""


@dataclass(frozen=True)
class StoryCommand(Story):
    """Where a story goes, and how much is asked for it."""

    out: Path = Path("figures")
    """Folder of the page (.html) and the table (.csv); the figures (.json) go into a folder in it
    that is called as the page."""
    quiet: Quiet = False
    """Print nothing but errors."""


def tell(name: str, arguments: Sequence[str]) -> None:
    """Measure a story, print its claims, write it, and say where it is."""
    command = name.replace("_", "-")
    config = parse(f"tvlens {command}", arguments, StoryCommand(), DESCRIPTIONS[name])
    with quietly(config.quiet):
        out = writable_folder(config.out)
        page = BOOKS[name].page(config)
        print(page.table.to_string(index=False))
        print("wrote " + ", ".join(map(str, page.write(out))))
