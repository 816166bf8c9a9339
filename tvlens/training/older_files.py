"""Experiments as earlier versions wrote them, brought to the form of this one."""

from typing import Any

from tvlens.base.config import to_json
from tvlens.prompts import COLUMN_FORMATS

KINDS = {"PromptFormat": "TokenFormat", "ModelConfig": "TransformerConfig"}
"""Classes that had another name before version 0.2."""


def as_today(data: Any) -> Any:
    """Parsed JSON of an experiment as this version writes it; what is no experiment stays as it is.

    Before version 0.2 the format of a linear transformer was a name.
    """
    if isinstance(data, list):
        return [as_today(each) for each in data]
    if not isinstance(data, dict):
        return data
    current = {key: as_today(value) for key, value in data.items()}
    kind = current.get("kind")
    if isinstance(kind, str):
        current["kind"] = KINDS.get(kind, kind)
    columns = {each.name: to_json(each) for each in COLUMN_FORMATS}
    named = current.get("format")
    if kind == "LinearExperiment" and isinstance(named, str) and named in columns:
        current["format"] = columns[named]
    return current
