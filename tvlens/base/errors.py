"""The errors a caller may want to catch."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that was given cannot be used; the message says what, why, and what to do."""


class DivergenceError(RuntimeError):
    """Training left the region where its loss means anything."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest known one, and all."""
    names = [str(each) for each in known]
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."
