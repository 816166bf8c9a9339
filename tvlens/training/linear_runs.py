"""Finished trainings of linear transformers, and those that come with tvlens.

A run folder is as in `tvlens.training.runs`. What ships is several trainings of each experiment,
which differ in their seed: how far a finding holds for the next one is half of the finding.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvlens.base.errors import InputError, did_you_mean
from tvlens.base.files import read_json
from tvlens.models import LinearTransformer
from tvlens.results import History
from tvlens.training.linear_experiment import LinearExperiment
from tvlens.training.runs import (
    EXPERIMENT,
    PRETRAINED_LINEAR,
    check_finished,
    is_finished,
    list_pretrained,
    load_trained,
    trained_kind,
)


@dataclass(frozen=True)
class LinearRun:
    """A finished training of a linear transformer."""

    experiment: LinearExperiment
    model: LinearTransformer
    history: History
    provenance: dict[str, Any]


def load_linear_run(
    folder: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> LinearRun:
    """Load a finished run of a `LinearExperiment`.

    Args:
        folder: the run folder.
        device: where the model is put; the fastest device of the machine if None.
        own_kinds: classes that the experiment uses beside those of tvlens, a task of your own say.

    Raises:
        InputError: the folder is no finished run of a linear transformer, or a file in it is
            damaged.
    """
    folder = Path(folder)
    check_finished(folder)
    path = folder / EXPERIMENT
    if trained_kind(folder) == "Experiment":
        raise InputError(f"{folder} is no run of a linear transformer; load it with `load_run`.")
    experiment = LinearExperiment.from_json(read_json(path), str(path), own_kinds)
    return LinearRun(experiment, *load_trained(experiment, folder, device))


def load_linear_runs(folder: Path | str, *, device: str | None = None) -> list[LinearRun]:
    """Load every finished run in the subfolders of a folder, in the order of their names.

    Raises:
        InputError: there is none, or one is no run of a linear transformer.
    """
    folder = Path(folder)
    found = sorted(each.parent for each in folder.glob(f"*/{EXPERIMENT}"))
    runs = [load_linear_run(each, device=device) for each in found if is_finished(each)]
    if not runs:
        raise InputError(f"{folder} has no finished runs in its subfolders.")
    return runs


def list_pretrained_linear() -> list[str]:
    """Names of the linear transformers that come with tvlens."""
    return sorted(folder.name for folder in PRETRAINED_LINEAR.iterdir() if folder.is_dir())


def load_pretrained_linear(name: str, *, device: str | None = None) -> list[LinearRun]:
    """All trainings of a linear transformer that comes with tvlens, one for each seed.

    Raises:
        InputError: there is none of this name.
    """
    names = list_pretrained_linear()
    if name in list_pretrained():
        raise InputError(f"{name!r} is no linear transformer; load it with `load_pretrained`.")
    if name not in names:
        raise InputError(
            f"There is no pretrained linear transformer {name!r}.{did_you_mean(name, names)}"
        )
    return load_linear_runs(PRETRAINED_LINEAR / name, device=device)
