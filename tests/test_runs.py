import ast
import itertools
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.own_tasks import Quadratic
from tests.tiny_runs import (
    CPU,
    TINY,
    check_same_run,
    same_weights,
    state_after,
    train_until,
    trained_with,
)
from tvlens.base.errors import InputError
from tvlens.results import History, ICLCurve
from tvlens.tasks import sample_episodes
from tvlens.training.checkpoints import load_checkpoint, save_checkpoint
from tvlens.training.experiment import Experiment
from tvlens.training.runs import (
    is_finished,
    list_pretrained,
    load_pretrained,
    load_run,
    train,
    train_run,
)

REPOSITORY = Path(__file__).parent.parent
RUN_FILES = {"experiment.json", "model.safetensors", "history.nc"}


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(TINY, folder, device="cpu")
    return folder


@pytest.fixture(scope="session")
def unfinished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    train_until(7, TINY, folder)
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """A finished run that a test may damage."""
    return Path(shutil.copytree(finished_once, tmp_path / "finished"))


@pytest.fixture
def unfinished(unfinished_once: Path, tmp_path: Path) -> Path:
    """A run that was stopped after step 7, and that a test may damage."""
    return Path(shutil.copytree(unfinished_once, tmp_path / "unfinished"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def refused(folder: Path, *words: object) -> Iterator[None]:
    """Expect an `InputError` that says these words, and no file in the folder touched."""
    before = contents(folder)
    with pytest.raises(InputError) as caught:
        yield
    for word in words:
        assert str(word) in str(caught.value)
    assert contents(folder) == before


def drain(states: Iterator[object]) -> None:
    for _ in states:
        pass


# A finished run


def test_a_run_comes_back_as_it_was_trained(finished: Path):
    run, state = load_run(finished, device="cpu"), state_after(TINY)
    assert run.experiment == TINY
    assert same_weights(run.model, state.model)
    episodes = sample_episodes(TINY.task, 4, 5, generator=torch.Generator().manual_seed(1))
    prompt = TINY.format.context(episodes)
    ours, theirs = (m(prompt.inputs, prompt.position_ids) for m in (run.model, state.model))
    assert torch.equal(ours, theirs)
    assert run.history.data.identical(History.from_rows(state.rows).data)


def test_a_run_loads_twice_the_same(finished: Path):
    check_same_run(load_run(finished, device="cpu"), load_run(str(finished), device="cpu"))


def test_a_run_says_where_it_came_from(finished: Path):
    origin = load_run(finished, device="cpu").provenance
    assert origin["seed"] == TINY.seed
    assert origin["device"] == "cpu"
    assert origin["training_seconds"] >= 0
    assert origin["versions"]["torch"] == torch.__version__
    assert {"created", "commit", "uncommitted_changes", "platform", "threads"} <= origin.keys()


def test_a_finished_run_is_three_files(finished: Path):
    assert {path.name for path in finished.iterdir()} == RUN_FILES
    assert is_finished(finished)


def test_others_may_read_all_files_of_a_run_or_none(finished: Path):
    assert len({stat.S_IMODE(path.stat().st_mode) for path in finished.iterdir()}) == 1


def test_an_unfinished_run_is_its_experiment_and_a_checkpoint(unfinished: Path):
    assert {path.name for path in unfinished.iterdir()} == {
        "experiment.json",
        "checkpoint.safetensors",
    }
    assert not is_finished(unfinished)


def test_a_loaded_model_is_ready_to_look_at(finished: Path):
    assert not load_run(finished, device="cpu").model.training


def test_a_task_of_ones_own_is_trained_and_loaded_where_it_is_named(tmp_path: Path):
    experiment = trained_with(replace(TINY, task=Quadratic(spread=0.5)), steps=3)
    run = train(experiment, tmp_path / "run", device="cpu")
    assert run.experiment == experiment
    check_same_run(run, load_run(tmp_path / "run", device="cpu", own_kinds=[Quadratic]))
    with refused(tmp_path, "unknown kind 'Quadratic'", "class of your own must be named"):
        load_run(tmp_path / "run", device="cpu")


def test_a_run_is_trained_into_a_new_folder_below_new_folders(tmp_path: Path):
    train(trained_with(steps=1), str(tmp_path / "a" / "b" / "c"), device="cpu")
    assert is_finished(tmp_path / "a" / "b" / "c")


# Folders that are not what is asked for


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with refused(tmp_path, tmp_path / "none", "is no folder", "tvlens train"):
        load_run(tmp_path / "none", device="cpu")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("something else")
    with refused(tmp_path, "is no run: it has no experiment.json"):
        load_run(tmp_path, device="cpu")


def test_a_file_is_no_run(finished: Path):
    with refused(finished, "is no run"):
        load_run(finished / "model.safetensors", device="cpu")


def test_an_unfinished_run_is_not_loaded(unfinished: Path):
    with refused(unfinished, unfinished, "not finished", "--resume"):
        load_run(unfinished, device="cpu")


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_run_is_not_trained_again(finished: Path, resume: bool):
    with refused(finished, finished, "holds a finished run; give another folder"):
        train(TINY, finished, device="cpu", resume=resume)


def test_an_unfinished_run_is_not_started_again(unfinished: Path):
    with refused(unfinished, unfinished, "holds an unfinished run; resume it"):
        train(TINY, unfinished, device="cpu")


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (trained_with(steps=30), "experiment.train.steps is 20 there, 30 here"),
        (replace(TINY, seed=3), "experiment.seed is 0 there, 3 here"),
        (
            trained_with(optimizer=replace(TINY.train.optimizer, learning_rate=0.5)),
            "experiment.train.optimizer.learning_rate is 0.02 there, 0.5 here",
        ),
        (
            replace(TINY, task=Quadratic()),
            "experiment.task.kind is 'LinearRegression' there, 'Quadratic' here",
        ),
    ],
)
def test_another_experiment_is_not_resumed(unfinished: Path, other: Experiment, difference: str):
    with refused(unfinished, unfinished, difference, "Ask for the same"):
        train(other, unfinished, device="cpu", resume=True)


def test_resuming_where_there_is_nothing_starts(tmp_path: Path, finished: Path):
    started = train(TINY, tmp_path / "new", device="cpu", resume=True)
    check_same_run(started, load_run(finished, device="cpu"))


@pytest.mark.parametrize("below", [".", "run", "run/below"])
def test_a_folder_that_can_not_be_written_is_refused_before_training(tmp_path: Path, below: str):
    (tmp_path / "file").write_text("in the way")
    with refused(tmp_path, f"Cannot write into {tmp_path / 'file' / below}", "another output"):
        next(train_run(TINY, tmp_path / "file" / below, device="cpu"))


def test_a_folder_of_the_system_is_refused(tmp_path: Path):
    with refused(tmp_path, "Cannot write into /proc/run"):
        next(train_run(TINY, "/proc/run", device="cpu"))


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "CPU", ""])
def test_a_device_that_is_not_there_is_refused(finished: Path, device: str):
    for attempt in (
        lambda: load_run(finished, device=device),
        lambda: next(train_run(TINY, finished, device=device)),
    ):
        with refused(finished, f"There is no device {device!r} here", "Known:", "cpu"):
            attempt()


def test_an_unknown_pretrained_model_is_refused_with_the_nearest():
    name = list_pretrained()[0]
    with pytest.raises(InputError, match=rf"no pretrained model '{name}x'.*mean '{name}'.*Known:"):
        load_pretrained(f"{name}x")


# Damaged files


def cut(path: Path, share: float) -> None:
    """Keep a share of a file, or all but its last byte."""
    data = path.read_bytes()
    path.write_bytes(data[: min(round(share * len(data)), len(data) - 1)])


cut_anywhere = pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0])


@cut_anywhere
@pytest.mark.parametrize("name", sorted(RUN_FILES))
def test_a_file_that_was_cut_off_is_named(finished: Path, name: str, share: float):
    if name.endswith(".json") and share == 1.0:
        share = 0.99  # The last byte ends a line and means nothing.
    cut(finished / name, share)
    with refused(finished, finished / name, "cut off"):
        load_run(finished, device="cpu")


@cut_anywhere
def test_a_checkpoint_that_was_cut_off_is_named(unfinished: Path, share: float):
    cut(unfinished / "checkpoint.safetensors", share)
    with refused(unfinished, unfinished / "checkpoint.safetensors", "cut off"):
        train(TINY, unfinished, device="cpu", resume=True)


def test_a_history_that_is_missing_is_named(finished: Path):
    (finished / "history.nc").unlink()
    with refused(finished, finished / "history.nc"):
        load_run(finished, device="cpu")


def test_a_checkpoint_without_its_experiment_is_not_resumed(unfinished: Path):
    (unfinished / "experiment.json").unlink()
    with refused(unfinished, f"Cannot read {unfinished / 'experiment.json'}"):
        train(TINY, unfinished, device="cpu", resume=True)


def not_a_number(tensor: Tensor) -> Tensor:
    return tensor.clone().index_fill_(0, torch.tensor([0]), torch.nan)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensor: tensor[:, :-1], "differs"),
        (lambda tensor: tensor.T, "differs"),
        (lambda tensor: tensor.double(), "differs"),
        (lambda tensor: tensor.bfloat16(), "differs"),
        (lambda tensor: tensor.int(), "differs"),
        (not_a_number, "not finite"),
        (lambda tensor: tensor / 0, "not finite"),
        (None, "differs"),
    ],
    ids=["narrower", "transposed", "float64", "bfloat16", "int", "nan", "inf", "missing"],
)
@pytest.mark.parametrize("key", ["W_E", "blocks.1.attn.qkv.weight"])
def test_weights_that_were_changed_are_named(
    finished: Path, key: str, change: Callable[[Tensor], Tensor] | None, problem: str
):
    path = finished / "model.safetensors"
    tensors = load_file(path)
    tensor = tensors.pop(key)
    if change is not None:
        tensors[key] = change(tensor).contiguous()
    save_file(tensors, path)
    with refused(finished, path, key, problem):
        load_run(finished, device="cpu")


def test_a_weight_too_much_is_named(finished: Path):
    path = finished / "model.safetensors"
    save_file(load_file(path) | {"W_extra": torch.zeros(2)}, path)
    with refused(finished, path, "W_extra differs"):
        load_run(finished, device="cpu")


def test_weights_of_another_model_are_refused(finished: Path, tmp_path: Path):
    wider = replace(TINY, model=replace(TINY.model, d_model=32))
    rewrite(finished / "experiment.json", lambda _: wider.to_json())
    with refused(finished, "does not hold the weights that its experiment.json describes"):
        load_run(finished, device="cpu")


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the experiment in its file."""
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"experiment": change(record["experiment"])}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data | {"sead": 1}, ["unknown key 'sead'", "Did you mean 'seed'"]),
        (lambda data: data | {"seed": "one"}, ["seed", "should be int", "'one'"]),
        (lambda data: {k: v for k, v in data.items() if k != "task"}, ["lacks task"]),
        (lambda data: data | {"task": data["model"]}, ["task", "TransformerConfig"]),
        (lambda data: data["task"], ["the kind LinearRegression, expected Experiment"]),
        (lambda data: data | {"kind": "Eksperiment"}, ["unknown kind 'Eksperiment'"]),
        (lambda data: [data], ["should be an object with a 'kind'"]),
    ],
    ids=["unknown", "type", "missing", "task", "part", "kind", "list"],
)
def test_an_experiment_that_was_changed_is_refused(
    finished: Path, change: Callable[[dict[str, Any]], Any], words: list[str]
):
    path = finished / "experiment.json"
    rewrite(path, change)
    with refused(finished, path, *words):
        load_run(finished, device="cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record | {"version": 3}, ["is of version 3", "reads 2 and below"]),
        (lambda record: record | {"versoin": 2}, ["unknown key 'versoin'", "mean 'version'"]),
        (lambda record: {"version": 2, "provenance": []}, ["lacks experiment"]),
        (lambda record: record | {"provenance": []}, ["says of 0 seeds", "asked for 1"]),
    ],
    ids=["newer", "unknown", "missing", "nowhere"],
)
def test_a_record_that_was_changed_is_refused(
    finished: Path, change: Callable[[dict[str, Any]], Any], words: list[str]
):
    path = finished / "experiment.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with refused(finished, path, *words):
        load_run(finished, device="cpu")


def test_a_history_of_another_kind_is_refused(finished: Path):
    path = finished / "history.nc"
    ICLCurve(load_run(finished, device="cpu").history.data).save(path)
    with refused(finished, path, "holds ICLCurve, expected History"):
        load_run(finished, device="cpu")


@pytest.mark.parametrize(
    "key",
    [
        "model.W_E",
        "generator.0",
        "history.icl",
        "optimizer.0.0.momentum_buffer",
        "optimizer.1.0.step",
    ],
)
@pytest.mark.parametrize("how", ["missing", "another shape"])
def test_a_checkpoint_that_was_changed_is_refused(unfinished: Path, key: str, how: str):
    path = unfinished / "checkpoint.safetensors"
    tensors = load_file(path)
    if how == "missing":
        del tensors[key]
    else:
        tensors[key] = torch.zeros(7, dtype=tensors[key].dtype)
    save_file(tensors, path, {"step": "7", "seconds": "1.0"})
    with refused(unfinished, path):
        train(TINY, unfinished, device="cpu", resume=True)


def test_a_model_is_no_checkpoint(unfinished: Path, finished: Path):
    shutil.copy(finished / "model.safetensors", unfinished / "checkpoint.safetensors")
    with refused(unfinished, unfinished / "checkpoint.safetensors", "is not a checkpoint"):
        train(TINY, unfinished, device="cpu", resume=True)


# kill -9

FORKS = """
import functools, itertools, json, os, signal, sys, time
from pathlib import Path
import torch
from tvlens.training.checkpoints import save_checkpoint
from tvlens.training.experiment import Experiment
from tvlens.training.runs import train_run
from tvlens.training.loop import TrainState, training_steps

@functools.cache
def warm(asked):
    experiment = Experiment.from_json(json.loads(asked))
    state = TrainState.start(experiment, torch.device("cpu"))
    next(training_steps(experiment, state))
    return experiment, state

def save_forever(experiment, state, folder):
    for state.step in itertools.count(1):
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.fill_(state.step)
        save_checkpoint(folder / "checkpoint.safetensors", state)

def train(experiment, state, folder):
    for _ in train_run(experiment, folder, device="cpu", resume=True):
        pass

for line in sys.stdin:
    work, asked, folder, seconds = json.loads(line)
    experiment, state = warm(asked)
    child = os.fork()
    if child == 0:
        globals()[work](experiment, state, Path(folder))
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports once, then for each line read starts a child, and kills it after so many seconds."""

KillAfter = Callable[[str, Experiment, Path, float], int]


@pytest.fixture(scope="module")
def kill_after() -> Iterator[KillAfter]:
    """A function that works in a folder for some seconds, is killed, and gives the exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as process:

        def kill_after(work: str, experiment: Experiment, folder: Path, seconds: float) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            asked = json.dumps(experiment.to_json())
            line = json.dumps([work, asked, str(folder), seconds])
            print(line, file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield kill_after


def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(
    kill_after: KillAfter, tmp_path: Path
):
    big = replace(TINY, model=replace(TINY.model, d_model=128, init_std=0.02))
    folder, draw, steps = tmp_path / "run", random.Random(0), set()
    folder.mkdir()
    checkpoint = folder / "checkpoint.safetensors"
    for _ in range(20):
        assert kill_after("save_forever", big, folder, draw.uniform(0.0, 0.25)) == -signal.SIGKILL
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, big, CPU)
            values = {float(each) for p in state.model.state_dict().values() for each in p.unique()}
            assert values == {float(state.step)}
            steps.add(state.step)
    assert len(steps) > 1
    assert set(folder.iterdir()) - {checkpoint}, "no kill came while a file was written"


def test_a_run_killed_again_and_again_ends_as_the_uninterrupted_one(
    kill_after: KillAfter, tmp_path: Path
):
    experiment = trained_with(steps=200, checkpoint_every=1)
    folder, draw = tmp_path / "run", random.Random(1)
    seconds = (draw.uniform(0.1, 0.3) * 1.2**attempt for attempt in itertools.count())
    codes = [
        kill_after("train", experiment, folder, each)
        for each in itertools.takewhile(unfinished_in(folder), seconds)
    ]
    assert codes.count(-signal.SIGKILL) > 1
    whole = train(experiment, tmp_path / "whole", device="cpu")
    check_same_run(load_run(folder, device="cpu"), whole)


def unfinished_in(folder: Path) -> Callable[[object], bool]:
    return lambda _: not is_finished(folder)


def test_temporary_files_of_a_killed_process_do_not_disturb(unfinished: Path, finished: Path):
    stale = [
        unfinished / f".{name}.{pid}.tmp"
        for name in [*RUN_FILES, "checkpoint.safetensors"]
        for pid in (1, os.getpid())
    ]
    for path in stale:
        path.write_bytes(b"half a fi")
    resumed = train(TINY, unfinished, device="cpu", resume=True)
    check_same_run(resumed, load_run(finished, device="cpu"))


def test_a_write_that_fails_leaves_what_was_there(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch
):
    before = contents(unfinished)
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(unfinished / "checkpoint.safetensors", state_after(TINY, 8))
    assert contents(unfinished) == before


# A stranger's run runs no code

FORBIDDEN_NAMES = {
    "allow_pickle",
    "cloudpickle",
    "dill",
    "eval",
    "exec",
    "import_module",
    "joblib",
    "marshal",
    "pickle",
    "shelve",
    "weights_only",
    "yaml",
    "__import__",
}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "np.load"}


@pytest.mark.parametrize(
    "path",
    sorted([*REPOSITORY.glob("tvlens/**/*.py"), *REPOSITORY.glob("analyses/*.py")]),
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_no_source_can_run_what_a_file_holds(path: Path):
    names = set(itertools.chain(*map(names_in, ast.walk(ast.parse(path.read_text())))))
    assert not names & (FORBIDDEN_NAMES | FORBIDDEN_CALLS)


def names_in(node: ast.AST) -> list[str]:
    """The names that a node of a syntax tree uses or imports."""
    match node:
        case ast.Name(id=name) | ast.keyword(arg=str(name)):
            return [name]
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return [f"{owner}.{name}"]
        case ast.Import(names=imported):
            return [part for each in imported for part in each.name.split(".")]
        case ast.ImportFrom(module=module, names=imported):
            parts = (module or "").split(".")
            return [*parts, *(f"{module}.{each.name}" for each in imported)]
    return []
