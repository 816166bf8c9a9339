"""Runs that earlier versions wrote are loaded as runs of today."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tvlens as tvl
from tvlens.base.errors import InputError
from tvlens.models import Positions, TokenDropout
from tvlens.prompts import TRIPLET
from tvlens.training import Muon, Query, Sparsity
from tvlens.training.linear_presets import LINEAR_TRAINING
from tvlens.training.runs import load_run, train_run

VERSION_1 = Path(__file__).parent / "data" / "version-1"
"""Run folders as version 0.1 left them."""
SOFTMAX = tvl.Experiment(
    tvl.LinearRegression(d=2),
    tvl.ARROW,
    tvl.TransformerConfig(
        n_layers=2,
        d_model=8,
        n_heads=2,
        mlp_ratio=2,
        positions=Positions.ROTARY,
        init_std=0.2,
    ),
    tvl.ICLObjective(tvp_weight=1.0, tvp_layer=1, query=Query.FRESH),
    tvl.TrainConfig(steps=20, batch=8, examples=4, warmup=5, log_every=3, optimizer=Muon()),
    seed=4,
)
LINEAR = tvl.Experiment(
    tvl.MatrixRegression(2),
    TRIPLET,
    tvl.LinearConfig(dropout=TokenDropout(0.7)),
    tvl.QueryObjective(Sparsity(1e-3, after=8)),
    replace(LINEAR_TRAINING, steps=20, batch=8, examples=3, log_every=3),
    seed=4,
)


@pytest.fixture(params=["softmax", "linear"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that a test may change."""
    return Path(shutil.copytree(VERSION_1 / request.param, tmp_path / request.param))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "experiment.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_run_of_version_1_is_loaded(older: Path):
    run = load_run(older, device="cpu")
    assert run.experiment == {"softmax": SOFTMAX, "linear": LINEAR}[older.name]
    weights = load_file(older / "model.safetensors")
    assert weights.keys() == run.model.state_dict().keys()
    assert all(torch.equal(run.model.state_dict()[name], each) for name, each in weights.items())
    assert run.history.data.step.values.tolist() == [3, 6, 9, 12, 15, 18, 20]
    assert run.provenance["versions"]["tvlens"] == "0.1.0"
    training: Any = run.subject().training
    assert training.tvp_layer == (1 if older.name == "softmax" else None)


def test_what_version_1_trained_is_what_this_one_trains(older: Path, tmp_path: Path):
    """The same random numbers in the same order, up to the rounding of Muon."""
    before = load_run(older, device="cpu")
    for _ in train_run(before.experiment, tmp_path / "again", device="cpu"):
        pass
    again = load_run(tmp_path / "again", device="cpu").history.data
    first = before.history.data.isel(step=0)
    assert float(again.icl[0]) == pytest.approx(float(first.icl), rel=1e-3)


def test_keys_that_were_introduced_later_have_their_defaults(older: Path):
    def earlier(data: dict[str, Any]) -> None:
        del data["train"]["bf16"], data["model"]["n_layers"], data["train"]["optimizer"]["beta1"]

    if older.name == "softmax":
        rewrite(older, lambda data: data["objective"].pop("stop_gradient"))
        expected = SOFTMAX
    else:
        rewrite(older, earlier)
        rewrite(older, lambda data: data["task"].pop("noise"))
        expected = LINEAR
    assert load_run(older, device="cpu").experiment == expected


@pytest.mark.parametrize("part", ["task", "model", "train"])
def test_keys_that_nobody_knows_are_refused(older: Path, part: str):
    rewrite(older, lambda data: data[part].update(sead=1))
    with pytest.raises(InputError, match="unknown key 'sead'"):
        load_run(older, device="cpu")


def test_an_experiment_of_version_1_that_has_no_format_is_refused(older: Path):
    rewrite(older, lambda data: data.update(format="tripel"))
    with pytest.raises(InputError, match="format should be Format, got 'tripel'"):
        load_run(older, device="cpu")
