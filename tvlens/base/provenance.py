"""Where a result came from: versions, commit, device."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def provenance(device: torch.device | str) -> dict[str, Any]:
    """What one needs to know to get the same numbers again."""
    packages = ("tvlens", "torch", "transformer-lens", "numpy", "xarray")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
    }


def source_files() -> list[Path]:
    """The package's Python files: what was computed depends on them."""
    return sorted(Path(__file__).parents[1].rglob("*.py"))


def _git(*arguments: str) -> str | None:
    """What git says about the checkout that this file is in; None when it is in none."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
