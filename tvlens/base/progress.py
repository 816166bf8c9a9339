"""Progress of long work."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")

_HIDDEN = ContextVar("hidden", default=False)


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a progress bar that appears when they take more than two seconds."""
    return tqdm(items, desc=what, total=total, delay=2, leave=False, disable=_HIDDEN.get())


@contextmanager
def no_progress() -> Iterator[None]:
    """Within it, no progress bars are shown."""
    token = _HIDDEN.set(True)
    try:
        yield
    finally:
        _HIDDEN.reset(token)
