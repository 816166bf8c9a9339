"""What papers say of task vectors, beside what is found on models that ship."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder
from tvlens.base.progress import no_progress
from tvlens.studies.story import Story

if TYPE_CHECKING:
    from tvlens.studies.book import Book

DESCRIPTIONS = {
    "linear_theory": """The theory of linear transformers (arXiv 2506.09048) on models that ship.

What their weights look like and what lies around them, what risk they reach, what dropout changes,
and which examples a vector is made of. A page with figures, and a table of what is said beside what
is found. The models come from `python analyses/train.py --preset triplet-2x5 --seed 1` and the
like.

Example: python analyses/linear_theory.py --out figures/theory""",
    "task_vector_limits": """The limits of one task vector (arXiv 2506.09048) on models that ship.

How many examples it is worth, that it holds a map of rank one and no more, what several vectors
add, where a softmax transformer makes it, and which symbols it stands for. A page with figures, and
a table of what is said beside what is found.

Example: python analyses/task_vector_limits.py --out figures/limits""",
}
"""What --help says, by the name of the story."""


@dataclass(frozen=True)
class StoryCommand(Story):
    """Where a story goes, and how much is asked for it."""

    out: Path = Path("figures")
    """Folder of the page (.html) and the table (.csv); the figures (.json) go into a folder in it
    that is called as the page."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(aliases=["-q"])] = False
    """Print nothing but errors."""


def main(name: str) -> None:
    """Tell the story that is called so, as the command line asks."""
    with _plain_errors():
        command = tyro.cli(StoryCommand, description=DESCRIPTIONS[name])
        # Not needed to answer --help.
        from tvlens.studies.books import BOOKS

        tell(BOOKS[name], command)


def tell(book: "Book", command: StoryCommand) -> None:
    """Measure a story, print its claims, write it, and say where it is."""
    with _quietly(command.quiet):
        out = writable_folder(command.out)
        page = book.page(command)
        print(page.table.to_string(index=False))
        print("wrote " + ", ".join(map(str, page.write(out))))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """End with one line and exit code 2, not a traceback, where the user can mend the cause."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextmanager
def _quietly(quiet: bool) -> Iterator[None]:
    """Within it nothing is printed but errors, if `quiet`."""
    if not quiet:
        yield
        return
    with redirect_stdout(io.StringIO()), no_progress():
        yield
