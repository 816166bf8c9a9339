"""Runs: a folder for each trained model, and the models that come with tvlens.

A run folder holds `experiment.json` (what was asked for), `model.safetensors`, `history.nc`
(losses) and `provenance.json`; while it trains, `checkpoint.safetensors` instead of the model; and
`snapshots`, the weights along the training, where they were asked for.
Weights are safetensors and everything else is data, so loading a stranger's run runs no code.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tvlens.base.devices import check_compiler, choose_device
from tvlens.base.errors import DivergenceError, InputError, did_you_mean
from tvlens.base.files import read_json, writable_folder, write_json
from tvlens.base.provenance import provenance
from tvlens.models import HookedTransformer
from tvlens.results import History
from tvlens.training.checkpoints import (
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
)
from tvlens.training.experiment import Experiment
from tvlens.training.linear_seeds import LinearSeeds
from tvlens.training.loop import Model, Trainable, TrainState, training_steps
from tvlens.training.older_files import as_today
from tvlens.training.snapshots import save_snapshot, snapshot_files, snapshot_steps

EXPERIMENT = "experiment.json"
MODEL = "model.safetensors"
HISTORY = "history.nc"
PROVENANCE = "provenance.json"
CHECKPOINT = "checkpoint.safetensors"
PRETRAINED = Path(__file__).parents[1] / "pretrained"
PRETRAINED_LINEAR = Path(__file__).parents[1] / "pretrained_linear"


@dataclass(frozen=True)
class Run:
    """A finished training."""

    experiment: Experiment
    model: HookedTransformer
    history: History
    provenance: dict[str, Any]


def train_run(
    experiment: Trainable[Any],
    folder: Path | str,
    *,
    device: str | None = None,
    resume: bool = False,
    compile: bool = False,
    snapshots: int = 0,
) -> Generator[TrainState[Any]]:
    """Train into a run folder, one step per iteration.

    Whatever can be wrong with the arguments is said before the first step. Closing the iterator
    between two steps leaves a checkpoint of where it stood.

    Args:
        experiment: what to train, an `Experiment`, a `LinearExperiment`, or `LinearSeeds`, which
            leave a run folder `seed-K` for each seed K in `folder`.
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
        write_json(folder / EXPERIMENT, experiment.to_json())
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
    return load_run(folder, device=device, own_kinds=[type(experiment.task)])


def is_finished(folder: Path | str) -> bool:
    """Whether a folder holds a finished run; the weights are written last."""
    return (Path(folder) / MODEL).is_file()


def load_run(
    folder: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> Run:
    """Load a finished run.

    Args:
        folder: the run folder.
        device: where the model is put; the fastest device of the machine if None.
        own_kinds: classes that the experiment uses beside those of tvlens, a task of your own say.

    Raises:
        InputError: the folder is no finished run, or a file in it is damaged.
    """
    folder = Path(folder)
    check_finished(folder)
    if trained_kind(folder) == "LinearExperiment":
        raise InputError(
            f"{folder} is a run of a linear transformer, which is loaded by `load_linear_run` and "
            "cannot be asked where a model of a `TokenFormat` is expected."
        )
    experiment = _load_experiment(folder, own_kinds)
    return Run(experiment, *load_trained(experiment, folder, device))


def trained_kind(folder: Path) -> Any:
    """What kind of experiment a run folder says it is of; None if it says none."""
    data = read_json(folder / EXPERIMENT)
    return data.get("kind") if isinstance(data, dict) else None


def check_finished(folder: Path) -> None:
    """Raise InputError unless a folder holds a finished run."""
    if not (folder / EXPERIMENT).is_file():
        what = "no folder" if not folder.exists() else "no run: it has no experiment.json"
        raise InputError(f"{folder} is {what}. A run folder is made by `analyses/train.py`.")
    if not is_finished(folder):
        raise InputError(
            f"The run in {folder} is not finished; continue it with `analyses/train.py --resume`."
        )


def load_trained(
    experiment: Trainable[Model], folder: Path, device: str | None
) -> tuple[Model, History, dict[str, Any]]:
    """Model, history and provenance of a finished run of an experiment."""
    model = _load_model(experiment, folder / MODEL, choose_device(device))
    return model, History.load(folder / HISTORY), read_json(folder / PROVENANCE)


def load_snapshots(
    folder: Path | str, *, device: str | None = None, own_kinds: Iterable[type] = ()
) -> Iterator[tuple[int, HookedTransformer]]:
    """The models along a training, with the number of steps done, from the first to the last.

    They are loaded one by one, as they are asked for; the run need not be finished.

    Args:
        folder: the run folder.
        device: where the models are put; the fastest device of the machine if None.
        own_kinds: see `load_run`.

    Raises:
        InputError: the folder is no run or has no snapshots, or a file in it is damaged.
    """
    folder, chosen = Path(folder), choose_device(device)
    files = snapshot_files(folder)
    if not files:
        raise InputError(
            f"{folder} has no snapshots. Train with `analyses/train.py --snapshots 24`, or "
            "`train_run(.., snapshots=24)`."
        )
    experiment = _load_experiment(folder, own_kinds)
    return ((step, _load_model(experiment, path, chosen)) for step, path in files.items())


def list_pretrained() -> list[str]:
    """Names of the models that come with tvlens."""
    return sorted(folder.name for folder in PRETRAINED.iterdir() if is_finished(folder))


def load_pretrained(name: str, *, device: str | None = None) -> Run:
    """Load a model that comes with tvlens.

    Raises:
        InputError: there is none of this name.
    """
    names = list_pretrained()
    if name in {each.name for each in PRETRAINED_LINEAR.iterdir()}:
        raise InputError(
            f"{name!r} are linear transformers, which are loaded by `load_pretrained_linear` and "
            "cannot be asked where a model of a `TokenFormat` is expected."
        )
    if name not in names:
        raise InputError(f"There is no pretrained model {name!r}.{did_you_mean(name, names)}")
    return load_run(PRETRAINED / name, device=device)


def _load_experiment(folder: Path, own_kinds: Iterable[type]) -> Experiment:
    path = folder / EXPERIMENT
    return Experiment.from_json(read_json(path), str(path), own_kinds)


def _load_model(experiment: Trainable[Model], path: Path, device: torch.device) -> Model:
    model = experiment.build_model(device=device)
    tensors, _ = load_tensors(path, device)
    load_weights(model, tensors, path)
    return model.eval()


def _check_free(folder: Path, experiment: Trainable[Model], resume: bool) -> None:
    """Refuse to overwrite or mix up anything."""
    folders = [folder]
    unfinished = (folder / CHECKPOINT).is_file()
    if isinstance(experiment, LinearSeeds) and not unfinished:
        folders += [folder / _seed_folder(seed) for seed in experiment.seeds]
    for each in filter(is_finished, folders):
        raise InputError(f"{each} holds a finished run; give another folder.")
    if unfinished:
        if not resume:
            raise InputError(
                f"{folder} holds an unfinished run; resume it, or give another folder."
            )
        stored = as_today(read_json(folder / EXPERIMENT))
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
    experiment: Trainable[Model],
    state: TrainState[Model],
    compile: bool,
    kept: list[int],
) -> Generator[TrainState[Model]]:
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
    if isinstance(experiment, LinearSeeds):
        (folder / EXPERIMENT).unlink()  # Each seed has its own.


@contextmanager
def _naming_last_good(checkpoint: Path) -> Iterator[None]:
    """Add to a divergence where training can go on from."""
    try:
        yield
    except DivergenceError as error:
        good = f"Last good checkpoint: {checkpoint}." if checkpoint.is_file() else "No checkpoint."
        raise DivergenceError(f"{error} {good}") from error


def _finish(folder: Path, experiment: Trainable[Any], state: TrainState[Any]) -> None:
    """Leave a finished run, or one in a subfolder for each seed."""
    if not isinstance(experiment, LinearSeeds):
        return _save_finished(folder, experiment, state)
    for alone, each in experiment.alone(state):
        path = writable_folder(folder / _seed_folder(alone.seed))
        if is_finished(path):  # Written before the process was killed.
            continue
        write_json(path / EXPERIMENT, alone.to_json())
        _save_finished(path, alone, each, trained_with=list(experiment.seeds))


def _save_finished(
    folder: Path, experiment: Trainable[Model], state: TrainState[Model], **origin: Any
) -> None:
    """Write the files of a finished run, the weights last."""
    History.from_rows(np.asarray(state.rows)).save(folder / HISTORY)
    device = next(state.model.parameters()).device
    origin |= {"seed": experiment.seed, "training_seconds": round(state.seconds, 1)}
    write_json(folder / PROVENANCE, origin | provenance(device))
    weights: dict[str, torch.Tensor] = dict(state.model.state_dict())
    save_tensors(folder / MODEL, weights, {"format": "tvlens"})


def _seed_folder(seed: int) -> str:
    return f"seed-{seed}"
