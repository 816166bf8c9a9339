"""`tvlens train`: runs, interruptions, and what is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tvlens as tvl
from tests.running import run_command
from tests.tiny_runs import CPU, change_from_batch, check_same_run
from tvlens.training.checkpoints import load_checkpoint
from tvlens.training.older_files import read_record
from tvlens.training.presets import PRESETS

TINY = [
    *("--preset", "linear-tvp-small", "--device", "cpu"),
    *("--model.n-layers", "2", "--model.d-model", "16", "--model.n-heads", "2"),
    *("--objective.tvp-layer", "1", "--train.batch", "8", "--train.examples", "4"),
    *("--train.log-every", "3", "--train.checkpoint-every", "4"),
]


def process_of(*arguments: object, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "tvlens.commands.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        **kwargs,
    )


def test_training_leaves_a_run(tmp_path: Path):
    ended = run_command("train", *TINY, "--train.steps", 5, "--out", tmp_path / "run")
    assert ended.code == 0
    assert f"Finished. Run: {tmp_path / 'run'}" in ended.out
    assert "5/5" in ended.error
    run = tvl.load_run(tmp_path / "run", device="cpu")
    assert run.experiment.train.steps == 5
    model = run.experiment.model
    assert isinstance(model, tvl.TransformerConfig) and model.d_model == 16
    assert run.experiment.task == PRESETS["linear-tvp-small"].task
    assert run.history.data.step.values.tolist() == [3, 5]


@pytest.mark.parametrize("preset", ["linear-tvp-small", "triplet-2x1"])
def test_several_seeds_train_into_one_run(tmp_path: Path, preset: str):
    size = ("--train.steps", 3, "--train.batch", 5, "--device", "cpu")
    asked = ("--preset", preset, "--seeds", 2, 4, *size)
    ended = run_command("train", *asked, "--out", tmp_path / "run")
    assert ended.code == 0 and "Finished" in ended.out, ended.error
    runs = tvl.load_seeds(tmp_path / "run", device="cpu")
    assert [run.experiment.seed for run in runs] == [2, 4]


def test_without_a_folder_a_run_is_named_after_its_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert run_command("train", *TINY, "--train.steps", 1).code == 0
    assert tvl.is_finished(tmp_path / "runs" / "linear-tvp-small")


def test_an_interrupted_training_is_resumed_as_if_nothing_had_happened(tmp_path: Path):
    folder, checkpoint = tmp_path / "run", tmp_path / "run" / "checkpoint.safetensors"
    asked = [*TINY, "--train.steps", 150, "--train.checkpoint-every", 10, "--out", folder]
    with process_of("train", *asked) as process:
        wait_for(checkpoint, process)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"Stopped; continue with --resume. Run: {folder}" in out
    assert "Traceback" not in error
    experiment = tvl.Experiment.from_json(read_record(folder / "experiment.json")["experiment"])
    assert 10 <= load_checkpoint(checkpoint, experiment, CPU).step < 150

    assert run_command("train", *asked, "--resume").code == 0
    whole = tvl.train(experiment, tmp_path / "whole", device="cpu")
    check_same_run(tvl.load_run(folder, device="cpu"), whole)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)


@pytest.mark.parametrize(("step", "code"), [(1, 130), (5, 130), (6, 0)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_obeyed_after_its_step_unless_that_is_the_last(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    code: int,
    number: signal.Signals,
):
    def interrupt(params: Tensor) -> Tensor:
        signal.raise_signal(number)
        return params

    change_from_batch(monkeypatch, step, "sample_params", interrupt)
    ended = run_command("train", *TINY, "--train.steps", 6, "--out", tmp_path)
    assert ended.code == code
    assert tvl.is_finished(tmp_path) is (code == 0)
    if code == 130:
        record = read_record(tmp_path / "experiment.json")
        experiment = tvl.Experiment.from_json(record["experiment"])
        checkpoint = tmp_path / "checkpoint.safetensors"
        assert load_checkpoint(checkpoint, experiment, CPU).step == step


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--preset", "sinusoid"], "`tvlens presets` lists them"),
        (["--preset", "linear-tpv-small"], "Did you mean 'linear-tvp-small'"),
        (["--preset"], "--preset wants the name of one"),
        (["--train.stepz", "5"], "--train.steps"),
        (["--train.steps", "many"], "--train.steps"),
        (["--train.steps", "0"], "give at least 1"),
        (["--seeds", "1", "1"], "each once"),
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], remedy: str
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    (tmp_path / "FILE").touch()
    monkeypatch.chdir(tmp_path)
    ended = run_command("train", *TINY, "--train.warmup", 0, "--out", "run", *arguments)
    assert ended.code == 2
    assert remedy in " ".join(ended.error.replace("│", " ").split())
    assert "Traceback" not in ended.error
    assert not tvl.is_finished("run")


def test_folders_in_use_are_refused(tmp_path: Path):
    asked = [*TINY, "--train.steps", 2, "--out", tmp_path]
    assert run_command("train", *asked).code == 0
    ended = run_command("train", *asked)
    assert (ended.code, ended.out) == (2, "")
    message = f"error: {tmp_path} holds a finished run; give another folder.\n"
    assert ended.error.endswith(message)


def test_help_shows_the_defaults_of_the_preset_that_is_named_and_no_list_of_all():
    ended = run_command("train", "--preset", "offset-vanilla-paper", "--help")
    assert (ended.code, ended.error) == (0, "")
    words = ended.out.replace("│", " ").split()
    assert {"--train.steps", "--resume", "300000)"} <= set(words)
    assert sum(any(name in word for word in words) for name in PRESETS) < 5
