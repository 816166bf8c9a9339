"""What earlier versions wrote, brought to the form of this one."""

import dataclasses
from pathlib import Path
from typing import Any

from tvlens.base.config import KINDS, to_json
from tvlens.base.errors import InputError, did_you_mean
from tvlens.base.files import read_json
from tvlens.prompts import COLUMN_FORMATS

VERSION = 2
"""Of the form of `experiment.json`; files of version 1 do not say one."""
KEYS = ("version", "experiment", "provenance")
RENAMED = {
    "PromptFormat": "TokenFormat",
    "ModelConfig": "TransformerConfig",
    "Objective": "ICLObjective",
}
"""Classes that had another name in version 1."""


def read_record(path: Path) -> dict[str, Any]:
    """What `experiment.json` holds: the experiment, and where a finished run came from.

    Version 1 had the experiment alone, and the origin in a file of its own.

    Raises:
        InputError: the file is not there, is not JSON, or not of a version that is known.
    """
    data = read_json(path)
    if not isinstance(data, dict) or "version" not in data:
        origin = path.with_name("provenance.json")
        finished = path.with_name("model.safetensors").is_file()
        provenance = [read_json(origin)] if finished else []
        return {"version": VERSION, "experiment": _as_today(data), "provenance": provenance}
    if data["version"] != VERSION:
        raise InputError(
            f"{path} is of version {data['version']!r}, and this tvlens reads {VERSION} and below. "
            "Read it with the tvlens that wrote it."
        )
    for key in data:
        if key not in KEYS:
            raise InputError(f"{path} has the unknown key {key!r}.{did_you_mean(key, KEYS)}")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}.")
    return data


def _as_today(data: Any) -> Any:
    """An experiment of version 1 as this one writes it; what is none stays as it is."""
    if isinstance(data, list):
        return [_as_today(each) for each in data]
    if not isinstance(data, dict):
        return data
    data = {key: _as_today(value) for key, value in data.items()}
    kind = data.get("kind")
    if kind == "LinearExperiment":
        data = _linear_experiment(data)
    elif isinstance(kind, str):
        data["kind"] = RENAMED.get(kind, kind)
    return _with_defaults(data)


def _linear_experiment(data: dict[str, Any]) -> dict[str, Any]:
    """Linear transformers had an experiment of their own, whose format was a name."""
    columns = {each.name: to_json(each) for each in COLUMN_FORMATS}
    named, sparsity = data.get("format"), data.pop("sparsity", None)
    if isinstance(named, str) and named in columns:
        data["format"] = columns[named]
    objective = {"kind": "QueryObjective"} | ({} if sparsity is None else {"sparsity": sparsity})
    return data | {"kind": "Experiment", "objective": _with_defaults(objective)}


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """An object with the defaults of the keys that were introduced after it was written."""
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return data
    defaults = {
        each.name: to_json(each.default)
        for each in dataclasses.fields(KINDS[kind])
        if each.default is not dataclasses.MISSING
    }
    return defaults | data
