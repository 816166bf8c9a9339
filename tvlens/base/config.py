"""Frozen dataclasses to JSON and back, strictly.

Every dataclass becomes an object whose `kind` is its class name. Only classes that are marked by
`kind`, or that the reader names, are ever built: a file can choose among them but not run anything
else.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from tvlens.base.errors import InputError, did_you_mean

KINDS: dict[str, type] = {}
"""The classes that may stand in a file, by name."""

Class = TypeVar("Class", bound=type)


def kind(cls: Class) -> Class:
    """Let a dataclass stand in files; a decorator."""
    KINDS[cls.__name__] = cls
    return cls


def kinds_of(value: Any) -> set[type]:
    """The classes of a dataclass and of all that it holds."""
    if isinstance(value, tuple):
        return set().union(*map(kinds_of, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return set()
    held = (kinds_of(getattr(value, each.name)) for each in dataclasses.fields(value))
    return {type(value)}.union(*held)


def to_json(value: Any) -> Any:
    """A dataclass as nested JSON objects; enums by value, tuples as lists."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_json(each) for each in value]
    return value


def from_json(data: Any, where: str = "the file", own_kinds: Iterable[type] = ()) -> Any:
    """The dataclass that `to_json` made `data` from.

    Args:
        data: parsed JSON.
        where: what to call the origin of the data in errors.
        own_kinds: classes that may occur beside those that are marked by `kind`.

    Raises:
        InputError: an unknown or missing key (with the nearest known one), or a value of the wrong
            type.
    """
    return _decode_object(data, KINDS | {each.__name__: each for each in own_kinds}, where)


def _decode_object(data: Any, kinds: dict[str, type], where: str) -> Any:
    if not isinstance(data, dict) or "kind" not in data:
        raise InputError(f"{where} should be an object with a 'kind', got {data!r}.")
    if not isinstance(data["kind"], str) or data["kind"] not in kinds:
        known = did_you_mean(str(data["kind"]), kinds)
        raise InputError(
            f"{where} has the unknown kind {data['kind']!r}.{known} "
            "A class of your own must be named to the function that loads it."
        )
    kind = kinds[data["kind"]]
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key in data:
        if key != "kind" and key not in names:
            raise InputError(f"{where} has the unknown key {key!r}.{did_you_mean(key, names)}")
    missing = [name for name in names if name not in data]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}; {kind.__name__} needs all its keys.")
    values = {name: _decode(data[name], hints[name], kinds, f"{where}: {name}") for name in names}
    return kind(**values)


def _decode(data: Any, hint: Any, kinds: dict[str, type], where: str) -> Any:
    if isinstance(data, dict):
        value = _decode_object(data, kinds, where)
        if not (isinstance(hint, type | types.UnionType) and isinstance(value, hint)):
            raise InputError(f"{where} should be {_name(hint)}, got a {type(value).__name__}.")
        return value
    if isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint):
        (given,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
        return None if data is None else _decode(data, given, kinds, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(data, list):
            raise InputError(f"{where} should be a list, got {data!r}.")
        hints = typing.get_args(hint)
        each_hint = [hints[0]] * len(data) if hints[1:] == (...,) else hints
        if len(each_hint) != len(data):
            raise InputError(f"{where} should have {len(each_hint)} values, got {data!r}.")
        pairs = enumerate(zip(data, each_hint, strict=True))
        return tuple(_decode(each, h, kinds, f"{where}[{index}]") for index, (each, h) in pairs)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        if data not in [each.value for each in hint]:
            known = did_you_mean(str(data), [each.value for each in hint])
            raise InputError(f"{where} has the unknown value {data!r}.{known}")
        return hint(data)
    if hint is float and type(data) is int:
        return float(data)
    if type(data) is not hint:
        raise InputError(f"{where} should be {_name(hint)}, got {data!r}.")
    return data


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))
