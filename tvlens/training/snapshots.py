"""Weights along a training, to watch what emerges: a few files, dense early and sparse late."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder

FOLDER = "snapshots"


def snapshot_steps(steps: int, count: int) -> list[int]:
    """The steps to keep: 0, then up to `count` - 1 evenly spaced on a log scale up to the last.

    Fewer where neighbours round to the same step.

    Raises:
        InputError: `count` is negative or 1, which would keep the start and nothing that emerges.
    """
    if count < 0 or count == 1:
        raise InputError(f"Ask for no snapshots, or for at least 2, not {count}.")
    if count == 0:
        return []
    later = np.geomspace(1, steps, count - 1) if count > 2 else np.array([steps])
    return sorted({0, *np.rint(later).astype(int).tolist()})


def save_snapshot(folder: Path, model: nn.Module, step: int) -> None:
    """Write the weights after a step into a run folder, whole or not at all."""
    # Listing snapshots, which every script does, needs none of what saving does.
    from tvlens.training.checkpoints import save_tensors

    weights: dict[str, Tensor] = dict(model.state_dict())
    path = writable_folder(folder / FOLDER) / f"{step:08d}.safetensors"
    save_tensors(path, weights, {"format": "tvlens", "step": str(step)})


def snapshot_files(folder: Path) -> dict[int, Path]:
    """The files of a run folder's snapshots by step, from the first."""
    paths = sorted((folder / FOLDER).glob("[0-9]*.safetensors"))
    return {int(path.stem): path for path in paths}
