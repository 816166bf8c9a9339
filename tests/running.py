"""How a test runs a script of analyses (the fixture `script`), and how that ended."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ANALYSES = Path(__file__).parent.parent / "analyses"


class Ended(NamedTuple):
    """How a script ended."""

    code: object
    out: str
    error: str


Script = Callable[..., Ended]
