"""Progress of long work."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a progress bar that appears when they take more than two seconds."""
    return tqdm(items, desc=what, total=total, delay=2, leave=False)
