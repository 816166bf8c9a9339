"""Classes of the user's own, named on the command line: `--kinds mytask.py:Quadratic`.

Only the user's word loads code, never that of a file.
"""

import dataclasses
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from tvlens.base.errors import InputError, did_you_mean


def own_kinds(named: Iterable[str]) -> tuple[type, ...]:
    """The classes, each from the file before its colon.

    Raises:
        InputError: a file or class is not there, the file cannot be run, or the class is no
            dataclass.
    """
    return tuple(_kind(each) for each in named)


def _kind(named: str) -> type:
    file, _, name = named.rpartition(":")
    if not file or not name.isidentifier():
        raise InputError(f"--kinds takes FILE.py:CLASS, as in mytask.py:Quadratic, got {named!r}.")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"There is no file {file}, which --kinds {named} names.")
    kinds = {key: value for key, value in vars(_module(path)).items() if isinstance(value, type)}
    if name not in kinds:
        raise InputError(f"{file} has no class {name!r}.{did_you_mean(name, kinds)}")
    if not dataclasses.is_dataclass(kinds[name]):
        raise InputError(
            f"{name} of {file} is no dataclass, and only a dataclass can be written into a run and "
            "read again. Put @dataclass(frozen=True) before it."
        )
    return kinds[name]


def _module(path: Path) -> ModuleType:
    """The file, run as a module; once for all classes of it."""
    path = path.resolve()
    name = f"own_kinds:{path}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses look up the module that they stand in.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module
