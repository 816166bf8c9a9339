"""Snapshots are the weights along a training, and keeping them changes nothing else."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny_runs import CPU, TINY
from tvlens.base.errors import InputError
from tvlens.training.loop import TrainState, training_steps
from tvlens.training.runs import load_run, load_snapshots, train, train_run
from tvlens.training.snapshots import FOLDER, snapshot_files, snapshot_steps


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_steps_are_dense_early_and_sparse_late() -> None:
    steps = snapshot_steps(10_000, 14)
    assert (steps[0], steps[1], steps[-1], len(steps)) == (0, 1, 10_000, 14)
    ratios = np.diff(np.log(steps[4:]))
    np.testing.assert_allclose(ratios, np.log(10_000) / 12, atol=0.07)  # But for rounding.
    assert snapshot_steps(4, 50) == [0, 1, 2, 3, 4]
    assert snapshot_steps(7, 2) == [0, 7]
    assert snapshot_steps(7, 0) == []


@pytest.mark.parametrize("count", [-1, 1])
def test_a_series_of_one_is_refused_before_training(count: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"at least 2, not {count}"):
        train_run(TINY, tmp_path / "run", device="cpu", snapshots=count)
    assert not (tmp_path / "run" / "experiment.json").exists()


def test_snapshots_are_the_weights_after_each_of_their_steps(tmp_path: Path) -> None:
    run = train(TINY, tmp_path / "run", device="cpu", snapshots=4)
    state = TrainState.start(TINY, CPU)
    steps = training_steps(TINY, state)
    seen = []
    for step, model in load_snapshots(tmp_path / "run", device="cpu"):
        for _ in islice(steps, step - state.step):
            pass
        assert same_weights(model, state.model), step
        assert not model.training
        seen.append(step)
    assert seen == snapshot_steps(TINY.train.steps, 4)
    assert same_weights(run.model, state.model)


def test_keeping_snapshots_does_not_change_the_training(tmp_path: Path) -> None:
    kept = train(TINY, tmp_path / "kept", device="cpu", snapshots=5)
    plain = train(TINY, tmp_path / "plain", device="cpu")
    assert same_weights(kept.model, plain.model)
    assert not (tmp_path / "plain" / FOLDER).exists()


def test_a_resumed_run_has_all_snapshots(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    states = train_run(TINY, folder, device="cpu", snapshots=6)
    next(states)
    next(states)
    states.close()
    train(TINY, folder, device="cpu", resume=True, snapshots=6)
    train(TINY, tmp_path / "whole", device="cpu", snapshots=6)
    pairs = zip(
        load_snapshots(folder, device="cpu"),
        load_snapshots(tmp_path / "whole", device="cpu"),
        strict=True,
    )
    for (step, mine), (expected, whole) in pairs:
        assert step == expected
        assert same_weights(mine, whole), step


@pytest.mark.parametrize("other", [0, 3])
def test_a_series_is_neither_left_unfinished_nor_mixed_with_another(
    tmp_path: Path, other: int
) -> None:
    folder = tmp_path / "run"
    states = train_run(TINY, folder, device="cpu", snapshots=6)
    for _ in range(3):
        next(states)
    states.close()
    with pytest.raises(InputError, match="has snapshots of steps"):
        train_run(TINY, folder, device="cpu", resume=True, snapshots=other)


def test_a_run_without_snapshots_says_how_to_get_them(tmp_path: Path) -> None:
    train(TINY, tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match=r"has no snapshots\. Train with"):
        load_snapshots(tmp_path / "run", device="cpu")


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    train(TINY, tmp_path / "run", device="cpu", snapshots=2)
    path = snapshot_files(tmp_path / "run")[TINY.train.steps]
    path.write_bytes(path.read_bytes()[:100])
    models = load_snapshots(tmp_path / "run", device="cpu")
    assert next(models)[0] == 0
    with pytest.raises(InputError, match=path.name):
        next(models)


def test_a_run_with_snapshots_is_loaded_as_any_other(tmp_path: Path) -> None:
    experiment = replace(TINY, seed=5)
    train(experiment, tmp_path / "run", device="cpu", snapshots=3)
    assert load_run(tmp_path / "run", device="cpu").experiment == experiment
