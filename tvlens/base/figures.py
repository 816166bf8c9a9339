"""How a result comes by its figure: it knows nothing of what draws it."""

import functools
from collections.abc import Callable
from typing import Any

_not_loaded: list[Callable[[], None]] = []


def figures_from(load: Callable[[], None]) -> None:
    """Let `load` register figures when the first one is asked for, so that no import waits."""
    _not_loaded.append(load)


@functools.singledispatch
def figure(result: Any) -> Any:
    """The plotly figure of a result; `figure.register` tells it, kind by kind."""
    if _not_loaded:
        _not_loaded.pop()()
        return figure(result)
    raise NotImplementedError(f"There is no figure of a {type(result).__name__} yet.")
