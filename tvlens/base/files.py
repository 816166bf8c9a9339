"""Files that appear whole or not at all, and folders that are known to be writable before work."""

import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvlens.base.errors import InputError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file beside `path`, then move it there in one step.

    Whatever stood at `path` stays until the new file is complete and on disk.

    Raises:
        InputError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} into; make it.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(stat.S_IMODE(mode))  # safetensors makes files that only their owner reads.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_whole(path, lambda file: file.write_text(json.dumps(data, indent=2) + "\n"))


def read_json(path: Path, objects: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse a JSON file.

    Args:
        objects: what makes an object of its keys and values; a dictionary, unless given.

    Raises:
        InputError: it is not there, cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=objects)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{path} is not valid JSON ({error}); it may have been cut off."
        ) from error


def writable_folder(path: Path | str) -> Path:
    """Make sure that a folder exists and takes files, before anything is computed for it.

    Raises:
        InputError: it cannot be made, is a file, or is read-only.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"Cannot write into {folder}: {error.strerror}. Give another output folder."
        ) from error
    return folder
