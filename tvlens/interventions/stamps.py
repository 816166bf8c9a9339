"""What a result says of what was asked."""

from enum import Enum
from typing import Any

from tvlens.prompts import Format
from tvlens.tasks import Task


def stamp(task: Task, format: Format, **facts: Any) -> dict[str, Any]:
    """The attributes of a result: the `task`, the `format` and its `carrier`, if it has one, and
    further facts as a file can hold them.
    """
    asked = {"carrier": format.carrier, "format": format.name, "task": type(task).__name__}
    named = {name: fact for name, fact in (asked | facts).items() if fact is not None}
    return {name: fact.value if isinstance(fact, Enum) else fact for name, fact in named.items()}
