"""Runs: a folder for each training, and the models that come with tvlens.

A run folder holds `experiment.json` (what was asked for, and where it came from),
`model.safetensors` and `history.nc` (losses); while it trains, `checkpoint.safetensors` instead of
the model; and `snapshots`, the weights along the training, where they were asked for. That of
several seeds holds the same files; weights and losses have a leading dimension, or one named
`seed`.

Weights are safetensors and everything else is data, so loading a stranger's run runs no code.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvlens.base.config import from_json, kinds_of
from tvlens.base.devices import check_compiler, choose_device
from tvlens.base.errors import DivergenceError, InputError, did_you_mean
from tvlens.base.files import writable_folder, write_json
from tvlens.base.provenance import provenance
from tvlens.results import History
from tvlens.training.checkpoints import (
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
)
from tvlens.training.experiment import Experiment
from tvlens.training.loop import TrainState, training_steps
from tvlens.training.older_files import VERSION, read_record
from tvlens.training.run import Run
from tvlens.training.seeds import Seeds
from tvlens.training.snapshots import save_snapshot, snapshot_files, snapshot_steps

EXPERIMENT = "experiment.json"
MODEL = "model.safetensors"
HISTORY = "history.nc"
CHECKPOINT = "checkpoint.safetensors"
PRETRAINED = Path(__file__).parents[1] / "pretrained"


def train_run(
    experiment: Experiment | Seeds,
    folder: Path | str,
    *,
    device: str | None = None,
    resume: bool = False,
    compile: bool = False,
    snapshots: int = 0,
) -> Generator[TrainState]:
    """Train into a run folder, one step per iteration.

    Whatever can be wrong with the arguments is said before the first step. Closing the iterator
    between two steps leaves a checkpoint of where it stood.

    Args:
        experiment: what to train, from one seed or several.
        folder: the run folder; made if it is not there.
        device: where to train; the fastest device of the machine if None.
        resume: continue from the folder's checkpoint, if it has one.
        compile: see `training_steps`.
        snapshots: how many weights to keep along the training, from the first to the last step,
            evenly spaced on a log scale; 0 or at least 2. `load_snapshots` reads them.

    Raises:
        InputError: the folder cannot be written, holds a run already, or holds another experiment;
            or there is no C++ compiler where one is needed.
        DivergenceError: the loss exploded; the last checkpoint is still good.
    """
    folder, chosen = writable_folder(folder), choose_device(device)
    kept = snapshot_steps(experiment.train.steps, snapshots)
    if compile:
        check_compiler(chosen)
    checkpoint = folder / CHECKPOINT
    _check_free(folder, experiment, resume)
    if checkpoint.is_file():
        state = load_checkpoint(checkpoint, experiment, chosen)
    else:
        state = TrainState.start(experiment, chosen)
        _write_record(folder, experiment, [])
    _check_series(folder, kept, state.step)
    return _train_into(folder, experiment, state, compile, kept)


def train(
    experiment: Experiment,
    folder: Path | str,
    *,
    device: str | None = None,
    resume: bool = False,
    snapshots: int = 0,
) -> Run:
    """Train to the end and load the run; see `train_run`."""
    for _ in train_run(experiment, folder, device=device, resume=resume, snapshots=snapshots):
        pass
    return load_run(folder, device=device, own_kinds=kinds_of(experiment))


def is_finished(folder: Path | str) -> bool:
    """Whether a folder holds a finished run; the weights are written last."""
    return (Path(folder) / MODEL).is_file()


def load_run(
    folder: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> Run[Any]:
    """Load a finished run; of several seeds the first.

    Args:
        folder: the run folder.
        device: where the model is put; the fastest device of the machine if None.
        own_kinds: classes that the experiment uses beside those of tvlens, a task of your own say.

    Raises:
        InputError: the folder is no finished run, or a file in it is damaged.
    """
    return _load_runs(Path(folder), device, own_kinds)[0]


def load_seeds(
    run: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> list[Run[Any]]:
    """Load all seeds of a model that comes with tvlens, or of a folder.

    Args:
        run: the name of a pretrained model; the folder of a run; or a folder of such folders, whose
            runs come in the order of their names.
        device: see `load_run`.
        own_kinds: see `load_run`.

    Raises:
        InputError: there is no such model or folder, it holds no finished run, or a file is
            damaged.
    """
    if run in list_pretrained():
        return _load_runs(PRETRAINED / run, device, own_kinds)
    folder = Path(run)
    if not folder.is_dir():
        known = did_you_mean(str(run), list_pretrained())
        raise InputError(f"There is no pretrained model and no folder {str(run)!r}.{known}")
    below = sorted(each for each in folder.iterdir() if is_finished(each))
    folders = [folder] if (folder / EXPERIMENT).is_file() or not below else below
    return [each for one in folders for each in _load_runs(one, device, own_kinds)]


def load_snapshots(
    folder: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> Iterator[tuple[int, Any]]:
    """The models along a training, with the number of steps done, from the first to the last; of
    several seeds those of the first.

    They are loaded one by one, as they are asked for; the run need not be finished.

    Args:
        folder: the run folder.
        device: where the models are put; the fastest device of the machine if None.
        own_kinds: see `load_run`.

    Raises:
        InputError: the folder is no run or has no snapshots, or a file in it is damaged.
    """
    folder, chosen = Path(folder), choose_device(device)
    if not snapshot_files(folder):
        raise InputError(
            f"{folder} has no snapshots. Train with `tvlens train --snapshots 24`, or "
            "`train_run(.., snapshots=24)`."
        )
    experiment, _ = _read(folder, own_kinds)
    return _snapshots(experiment, folder, 0, chosen)


def list_pretrained() -> list[str]:
    """Names of the models that come with tvlens."""
    return sorted(folder.name for folder in PRETRAINED.iterdir() if is_finished(folder))


def load_pretrained(name: str, *, device: str | None = None) -> Run[Any]:
    """Load a model that comes with tvlens; where it comes from several seeds, that of the first.

    Raises:
        InputError: there is none of this name.
    """
    names = list_pretrained()
    if name not in names:
        raise InputError(f"There is no pretrained model {name!r}.{did_you_mean(name, names)}")
    return load_run(PRETRAINED / name, device=device)


def _load_runs(folder: Path, device: str | None, own_kinds: Iterable[type]) -> list[Run[Any]]:
    """The finished runs of a folder, one for each seed."""
    _check_finished(folder)
    experiment, origins = _read(folder, own_kinds)
    chosen = choose_device(device)
    model = _load_model(experiment, folder / MODEL, chosen)
    trained = experiment.split(model, History.load(folder / HISTORY))
    if len(origins) != len(trained):
        raise InputError(
            f"{folder / EXPERIMENT} says of {len(origins)} seeds where they came from, and was "
            f"asked for {len(trained)}. It was changed."
        )
    kept = bool(snapshot_files(folder))
    return [
        Run(
            each.experiment,
            each.model.eval(),
            each.history,
            origin,
            partial(_snapshots, experiment, folder, index, chosen) if kept else None,
        )
        for index, (each, origin) in enumerate(zip(trained, origins, strict=True))
    ]


def _check_finished(folder: Path) -> None:
    if not (folder / EXPERIMENT).is_file():
        what = "no folder" if not folder.exists() else f"no run: it has no {EXPERIMENT}"
        raise InputError(f"{folder} is {what}. A run folder is made by `tvlens train`.")
    if not is_finished(folder):
        raise InputError(
            f"The run in {folder} is not finished; continue it with `tvlens train --resume`."
        )


def _read(
    folder: Path, own_kinds: Iterable[type]
) -> tuple[Experiment | Seeds, list[dict[str, Any]]]:
    """What was trained in a folder, and where each seed came from."""
    path = folder / EXPERIMENT
    record = read_record(path)
    experiment = from_json(record["experiment"], str(path), own_kinds)
    if not isinstance(experiment, Experiment | Seeds):
        raise InputError(f"{path} is of the kind {type(experiment).__name__}, expected Experiment.")
    return experiment, record["provenance"]


def _write_record(
    folder: Path, experiment: Experiment | Seeds, origins: list[dict[str, Any]]
) -> None:
    record = {"version": VERSION, "experiment": experiment.to_json(), "provenance": origins}
    write_json(folder / EXPERIMENT, record)


def _load_model(experiment: Experiment | Seeds, path: Path, device: torch.device) -> nn.Module:
    model = experiment.build_model(device=device)
    tensors, _ = load_tensors(path, device)
    load_weights(model, tensors, path)
    return model


def _snapshots(
    experiment: Experiment | Seeds, folder: Path, index: int, device: torch.device
) -> Iterator[tuple[int, Any]]:
    """The models of one seed along a training."""
    for step, path in snapshot_files(folder).items():
        model = _load_model(experiment, path, device)
        yield step, experiment.alone_in(model, index).eval()


def _check_free(folder: Path, experiment: Experiment | Seeds, resume: bool) -> None:
    """Refuse to overwrite or mix up anything."""
    if is_finished(folder):
        raise InputError(f"{folder} holds a finished run; give another folder.")
    if (folder / CHECKPOINT).is_file():
        if not resume:
            raise InputError(
                f"{folder} holds an unfinished run; resume it, or give another folder."
            )
        stored = read_record(folder / EXPERIMENT)["experiment"]
        asked = experiment.to_json()
        if stored != asked:
            raise InputError(
                f"The unfinished run in {folder} is another experiment: "
                f"{_first_difference(stored, asked)}. Ask for the same, or give another folder."
            )


def _check_series(folder: Path, kept: list[int], step: int) -> None:
    """Refuse to mix two series of snapshots, or to leave one unfinished."""
    found = [each for each in snapshot_files(folder) if each < step]
    if found != [each for each in kept if each < step]:
        raise InputError(
            f"The unfinished run in {folder} has snapshots of steps {found}, which are not those "
            "asked for. Resume it with the number of snapshots that it was started with."
        )


def _first_difference(stored: Any, asked: Any, where: str = "experiment") -> str:
    if isinstance(stored, dict) and isinstance(asked, dict):
        for key in [*stored, *asked]:
            if stored.get(key) != asked.get(key):
                return _first_difference(stored.get(key), asked.get(key), f"{where}.{key}")
    return f"{where} is {stored!r} there, {asked!r} here"


def _train_into(
    folder: Path,
    experiment: Experiment | Seeds,
    state: TrainState,
    compile: bool,
    kept: list[int],
) -> Generator[TrainState]:
    checkpoint = folder / CHECKPOINT
    if state.step in kept:
        save_snapshot(folder, state.model, state.step)
    with _naming_last_good(checkpoint):
        try:
            for _ in training_steps(experiment, state, compile=compile):
                if state.step % experiment.train.checkpoint_every == 0:
                    save_checkpoint(checkpoint, state)
                if state.step in kept:
                    save_snapshot(folder, state.model, state.step)
                yield state
        except GeneratorExit:
            save_checkpoint(checkpoint, state)
            raise
    _finish(folder, experiment, state)
    checkpoint.unlink(missing_ok=True)


@contextmanager
def _naming_last_good(checkpoint: Path) -> Iterator[None]:
    """Add to a divergence where training can go on from."""
    try:
        yield
    except DivergenceError as error:
        good = f"Last good checkpoint: {checkpoint}." if checkpoint.is_file() else "No checkpoint."
        raise DivergenceError(f"{error} {good}") from error


def _finish(folder: Path, experiment: Experiment | Seeds, state: TrainState) -> None:
    """Write the files of a finished run, the weights last."""
    experiment.history(state.rows).save(folder / HISTORY)
    device, seeds = next(state.model.parameters()).device, experiment.seeds
    origin = {
        "training_seconds": round(state.seconds / len(seeds), 1),
        "trained_with": list(seeds),
        **provenance(device),
    }
    _write_record(folder, experiment, [{"seed": seed, **origin} for seed in seeds])
    save_tensors(folder / MODEL, dict(state.model.state_dict()), {"format": "tvlens"})
