"""How a test runs a command (the fixture `typed`) or a script (`script`), and how that ended."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ANALYSES = Path(__file__).parent.parent / "analyses"


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    error: str


Typed = Callable[..., Ended]
Script = Callable[..., Ended]
