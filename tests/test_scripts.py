import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
from torch import Tensor

import tvlens.analysis
from tests.running import ANALYSES, Ended, Script, run_script
from tests.tiny_runs import CPU, change_from_batch, check_same_run
from tvlens.base.files import read_json
from tvlens.results import LocalityMap, load_results, scores_table
from tvlens.training.checkpoints import load_checkpoint
from tvlens.training.experiment import Experiment
from tvlens.training.presets import PRESETS
from tvlens.training.runs import Run, is_finished, list_pretrained, load_run, train

TINY = [
    *("--preset", "linear-tvp-small", "--device", "cpu"),
    *("--model.n-layers", "2", "--model.d-model", "16", "--model.n-heads", "2"),
    *("--objective.tvp-layer", "1", "--train.batch", "8", "--train.examples", "4"),
    *("--train.log-every", "3", "--train.checkpoint-every", "4"),
]
GRID = [
    *("--grid.tasks", "linear", "--grid.steps", "3", "--grid.depths", "2"),
    *("--episodes", "32", "--device", "cpu"),
]
NAMES = ["linear-zxy-2layers-seed0-vanilla", "linear-zxy-2layers-seed0-tvp1"]


def subprocess_of(name: str, *arguments: object, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(ANALYSES / name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        **kwargs,
    )


# train.py


def test_training_leaves_a_run(script: Script, tmp_path: Path):
    ended = script("train.py", *TINY, "--train.steps", 5, "--out", tmp_path / "run")
    assert ended.code == 0
    assert f"Finished. Run: {tmp_path / 'run'}" in ended.out
    assert "5/5" in ended.error
    run = load_run(tmp_path / "run", device="cpu")
    assert run.experiment.train.steps == 5
    assert run.model.config.d_model == 16
    assert run.experiment.task == PRESETS["linear-tvp-small"].task
    assert run.history.data.step.values.tolist() == [3, 5]


def test_without_a_folder_a_run_is_named_after_its_preset(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert script("train.py", *TINY, "--train.steps", 1).code == 0
    assert is_finished(tmp_path / "runs" / "linear-tvp-small")


INTERRUPTED = [*TINY, "--train.steps", 100, "--train.checkpoint-every", 10]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Run]:
    """Trains an experiment once, however often it is asked for."""
    return functools.cache(
        lambda experiment: train(experiment, tmp_path_factory.mktemp("whole"), device="cpu")
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_is_resumed_as_if_nothing_had_happened(
    script: Script,
    tmp_path: Path,
    number: signal.Signals,
    uninterrupted: Callable[[Experiment], Run],
):
    folder, checkpoint = tmp_path / "run", tmp_path / "run" / "checkpoint.safetensors"
    asked = [*INTERRUPTED, "--out", folder]
    with subprocess_of("train.py", *asked) as process:
        wait_for(checkpoint, process)
        process.send_signal(number)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"Stopped; continue with --resume. Run: {folder}" in out
    assert "Traceback" not in error
    experiment = Experiment.from_json(read_json(folder / "experiment.json")["experiment"])
    assert 10 <= load_checkpoint(checkpoint, experiment, CPU).step < 100

    assert script("train.py", *asked, "--resume").code == 0
    check_same_run(load_run(folder, device="cpu"), uninterrupted(experiment))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)


@pytest.mark.parametrize(("step", "code"), [(1, 130), (5, 130), (6, 0)])
def test_an_interruption_is_obeyed_after_its_step_unless_that_is_the_last(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, code: int
):
    def interrupt(params: Tensor) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        return params

    change_from_batch(monkeypatch, step, "sample_params", interrupt)
    ended = script("train.py", *TINY, "--train.steps", 6, "--out", tmp_path)
    assert ended.code == code
    assert is_finished(tmp_path) is (code == 0)
    if code == 130:
        experiment = Experiment.from_json(read_json(tmp_path / "experiment.json")["experiment"])
        checkpoint = tmp_path / "checkpoint.safetensors"
        assert load_checkpoint(checkpoint, experiment, CPU).step == step


def test_a_wrong_preset_ends_a_real_process_with_one_line(tmp_path: Path):
    with subprocess_of("train.py", "--preset", "linear-tpv-small", cwd=tmp_path) as process:
        out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert error.startswith("error: There is no preset 'linear-tpv-small'. Did you mean 'linear-")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--preset", "sinusoid"], "Known: linear-vanilla-small"),
        (["--preset"], "--preset"),
        (["--train.stepz", "5"], "--train.steps"),
        (["--train.steps", "many"], "--train.steps"),
        (["--train.steps", "0"], "give at least 1"),
        (["--model.d-model", "17"], "make it a multiple"),
        (["--model.positions", "rotery"], "Expected one of"),
        (["--format", "zyx"], "zxy"),
        (["--objective.tvp-layer", "9"], "residual boundaries 0..2"),
        (["--train.optimizer.learning-rate", "-1"], "learning rate > 0"),
        (["--device", "tpu"], "Known: cpu"),
        (["--out", "/proc/run"], "Give another output folder"),
        (["--out", "FILE/run"], "Give another output folder"),
        (["--train.optimizer.learning-rate", "1e6"], "Lower the learning rate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_trained_ends_with_a_remedy(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    remedy: str,
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    (tmp_path / "FILE").touch()
    monkeypatch.chdir(tmp_path)
    ended = script("train.py", *TINY, "--train.warmup", 0, "--out", "run", *arguments)
    assert ended.code == 2
    assert remedy in " ".join(ended.error.replace("│", " ").split())
    assert "Traceback" not in ended.error
    assert not is_finished("run")


def test_folders_in_use_are_refused(script: Script, tmp_path: Path):
    asked = [*TINY, "--train.steps", 2, "--out", tmp_path]
    assert script("train.py", *asked).code == 0
    ended = script("train.py", *asked)
    assert (ended.code, ended.out) == (2, "")
    message = f"error: {tmp_path} holds a finished run; give another folder.\n"
    assert ended.error.endswith(message)


def test_help_shows_presets_and_the_defaults_of_the_one_named(script: Script):
    ended = script("train.py", "--preset", "offset-vanilla-paper", "--help")
    assert ended.code == 0
    assert ended.error == ""
    words = ended.out.replace("│", " ").split()
    assert all(name in {word.strip(",") for word in words} for name in PRESETS)
    assert "--train.steps" in words
    assert "300000" in ended.out
    assert "--resume" in ended.out


# locality_sweep.py


class Swept(NamedTuple):
    """Where a sweep put its files, and how it ended."""

    runs: Path
    out: Path
    ended: Ended

    @property
    def arguments(self) -> list[object]:
        return [*GRID, "--runs", self.runs, "--out", self.out]


@pytest.fixture(scope="module")
def swept_once(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep over two models of two layers, one vanilla and one with a TVP loss."""
    folder = tmp_path_factory.mktemp("swept")
    sweep = Swept(folder / "runs", folder / "out", Ended(None, "", ""))
    return sweep._replace(ended=run_script("locality_sweep.py", *sweep.arguments))


@pytest.fixture
def swept(swept_once: Swept, tmp_path: Path) -> Swept:
    """The sweep, in folders that a test may change."""
    runs, out = (shutil.copytree(each, tmp_path / each.name) for each in swept_once[:2])
    return Swept(runs, out, swept_once.ended)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_trains_maps_and_writes(swept: Swept):
    assert swept.ended.code == 0
    files = {f"locality_sweep.{ending}" for ending in ("html", "nc", "csv")}
    assert {path.name for path in swept.out.iterdir() if path.is_file()} == files
    assert "<html" in (swept.out / "locality_sweep.html").read_text()
    assert all(name in swept.ended.out for name in [*NAMES, *files])

    maps = load_results(LocalityMap, swept.out / "locality_sweep.nc")
    assert list(maps) == NAMES
    assert all(each.data.sizes["episode"] == 32 for each in maps.values())
    table = pd.read_csv(swept.out / "locality_sweep.csv")
    pd.testing.assert_frame_equal(table, scores_table(maps))

    for name in NAMES:
        (folder,) = swept.runs.glob(f"{name}-*")
        run = load_run(folder, device="cpu")
        assert (run.experiment.model.n_layers, run.experiment.train.steps) == (2, 3)
        assert (run.experiment.objective.prescribed_layer is not None) is name.endswith("tvp1")


def test_a_second_sweep_trains_nothing_and_changes_nothing(swept: Swept, script: Script):
    trained = times(swept.runs)
    maps = load_results(LocalityMap, swept.out / "locality_sweep.nc")
    table = (swept.out / "locality_sweep.csv").read_text()
    assert script("locality_sweep.py", *swept.arguments).code == 0
    assert times(swept.runs) == trained
    again = load_results(LocalityMap, swept.out / "locality_sweep.nc")
    assert list(again) == list(maps)
    assert all(again[name].data.identical(each.data) for name, each in maps.items())
    assert (swept.out / "locality_sweep.csv").read_text() == table


def test_a_result_alone_is_enough_to_write_table_and_page_again(
    swept: Swept, script: Script, tmp_path: Path
):
    out = tmp_path / "again"
    ended = script("locality_sweep.py", "--replot", swept.out / "locality_sweep.nc", "--out", out)
    assert ended.code == 0
    assert {path.name for path in out.iterdir()} == {"locality_sweep.html", "locality_sweep.csv"}
    first, again = ((each / "locality_sweep.csv").read_text() for each in (swept.out, out))
    assert first == again


def test_a_second_sweep_maps_only_what_is_new(
    swept: Swept, script: Script, monkeypatch: pytest.MonkeyPatch
):
    mapped = count_calls(monkeypatch, tvlens.analysis, "locality_map")
    assert script("locality_sweep.py", *swept.arguments).code == 0
    assert len(mapped) == 0
    (folder,) = swept.runs.glob(f"{NAMES[0]}-*")
    arguments = [folder, "--episodes", 32, "--out", swept.out, "--device", "cpu"]
    assert script("locality_sweep.py", *arguments).code == 0
    assert len(mapped) == 0, "the same model under another name"
    assert script("locality_sweep.py", *arguments, "--seed", 1).code == 0
    assert len(mapped) == 1


def count_calls(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[object]:
    calls, original = [], getattr(module, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ([f"{list_pretrained()[0]}x"], f"Did you mean '{list_pretrained()[0]}'"),
        (["FOLDER"], "has no experiment.json"),
        (["--replot", "FILE"], "FILE is not a readable netCDF-4 file"),
        (["--replot", "none.nc"], "There is no file none.nc"),
        (["--grid.tasks", "linaer"], "linear"),
        (["--grid.tasks", "linear", "--grid.depths", "0"], "give at least 1"),
        (["--grid.tasks", "linear", "--grid.steps", "0"], "give at least 1"),
        (["--grid.tasks", "linear", "--grid.tvp-weights", "-1"], "cannot be negative"),
        (["--episodes", "3"], "give 10"),
        (["--device", "tpu"], "There is no device 'tpu' here"),
        (["--out", "FILE"], "Give another output folder"),
        (["--grid.tasks", "linear", "--runs", "FILE"], "Give another output folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_mapped_ends_with_a_remedy(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    remedy: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FILE").write_text("no netCDF")
    ended = script("locality_sweep.py", "--out", "out", *arguments)
    assert ended.code == 2
    assert remedy in " ".join(ended.error.replace("│", " ").split())
    assert "Traceback" not in ended.error
    assert (tmp_path / "FILE").read_text() == "no netCDF"
    assert not list(tmp_path.rglob("locality_sweep.*"))


def test_the_sweep_has_help(script: Script):
    ended = script("locality_sweep.py", "--help")
    assert ended.code == 0
    assert "--replot" in ended.out
    assert "--grid.tasks" in ended.out


# All that ask models


@pytest.mark.parametrize(
    "name", ["bijections", "information_flow", "several_vectors", "vocabulary"]
)
def test_wrong_models_end_a_script_with_one_line(script: Script, tmp_path: Path, name: str):
    linear = Path(tvlens.analysis.__file__).parents[1] / "pretrained/triplet-2x5"
    for model, words in (
        ("linear-tpv", "no pretrained model 'linear-tpv'. Did you mean 'linear-tvp'"),
        ("triplet-2x5", "'triplet-2x5' is a linear transformer"),
        (linear, "is a linear transformer"),
        (tmp_path / "none", "none is no folder"),
        (tmp_path, "is no run: it has no experiment.json"),
    ):
        ended = script(f"{name}.py", model, "--device", "cpu", "--out", tmp_path / "out")
        assert ended.code == 2
        last = ended.error.splitlines()[-1]
        assert last.startswith("error: ") and words in last
        assert "Traceback" not in ended.error


def test_help_waits_for_nothing_that_only_measuring_needs():
    names = [each.stem for each in ANALYSES.glob("*.py") if "__main__" in each.read_text()]
    names.remove("pictures")  # It is for those who write the documentation.
    assert {"train", "report", "emergence", "linear_theory"} < set(names)
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ANALYSES
    )
    loaded = set(ended.stdout.split())
    assert "tvlens.results.several_vectors" in loaded, ended.stderr
    assert not loaded & {"transformer_lens", "scipy.stats", "plotly.graph_objects"}
