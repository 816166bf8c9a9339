"""The models that ship do what they are shipped for, on episodes they have never seen."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tvlens as tvl
from tvlens.analysis.bijections import measure_bijections
from tvlens.analysis.icl_curve import measure_icl_curve
from tvlens.commands.asked_models import shipped
from tvlens.training import RandomLengths
from tvlens.training.linear_presets import linear_presets

PAIRS = {"linear", "linear-arrow", "sinusoid", "offset", "relations"}


def errors(name: str) -> dict[str, float]:
    """Mean errors at the longest context, with the vector at the prescribed layer."""
    run = tvl.load_pretrained(name, device="cpu")
    task, format, train = run.experiment.task, run.experiment.format, run.experiment.train
    generator = torch.Generator().manual_seed(2718)
    episodes = tvl.sample_episodes(task, 256, train.shots, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    layer = run.experiment.model.n_layers - 1
    curve = measure_icl_curve(run.model, task, format, episodes, queries, layer=layer)
    means = curve.data.isel(examples=-1).mean("episode")
    return {str(kind): float(means[kind]) for kind in means}


def test_every_pair_ships_and_one_model_alone() -> None:
    names = {f"{pair}-{training}" for pair in PAIRS for training in ("vanilla", "tvp")}
    assert set(shipped(tvl.TokenFormat)) == names | {"bijections-vanilla"}
    columns = set(shipped(tvl.ColumnFormat))
    assert columns <= set(linear_presets())
    assert set(tvl.list_pretrained()) == names | {"bijections-vanilla"} | columns


def test_no_bit_of_a_weight_that_ships_has_changed() -> None:
    """Since version 0.1, which had a file for each seed."""
    known = json.loads((Path(__file__).parent / "data" / "pretrained_hashes.json").read_text())
    found = {
        name: {
            str(run.experiment.seed): digest(run.model.state_dict())
            for run in tvl.load_seeds(name, device="cpu")
        }
        for name in tvl.list_pretrained()
    }
    assert found == known


def digest(weights: dict[str, Tensor]) -> str:
    """A hash of names, kinds and numbers of weights."""
    hashed = hashlib.sha256()
    for name in sorted(weights):
        weight = weights[name]
        hashed.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        hashed.update(weight.contiguous().numpy().tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_a_pair_differs_in_its_objective_and_runs_the_same_number_of_tokens(pair: str) -> None:
    runs: list[Any] = [tvl.load_pretrained(f"{pair}-{each}") for each in ("vanilla", "tvp")]
    vanilla, tvp = (run.experiment for run in runs)
    assert (vanilla.task, vanilla.format, vanilla.model) == (tvp.task, tvp.format, tvp.model)
    assert vanilla.objective.tvp_weight == 0 < tvp.objective.tvp_weight
    context = vanilla.format.n_tokens(vanilla.train.shots)
    assert isinstance(tvp.objective.lengths, RandomLengths)
    prompted = tvp.objective.lengths.k * len(tvp.format.query)
    assert vanilla.train.steps * context == pytest.approx(
        tvp.train.steps * (context + prompted), rel=1e-3
    )


@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_the_tvp_loss_puts_the_task_into_the_prescribed_vector(pair: str) -> None:
    vanilla, tvp = errors(f"{pair}-vanilla"), errors(f"{pair}-tvp")
    limit = {"offset": 0.01, "relations": 0.01, "sinusoid": 0.02}.get(pair, 0.03)
    assert max(vanilla["icl"], tvp["icl"]) <= limit
    recovery = {
        name: (each["zero_shot"] - each["tvp"]) / (each["zero_shot"] - each["icl"])
        for name, each in (("vanilla", vanilla), ("tvp", tvp))
    }
    assert recovery["tvp"] >= 0.9
    assert recovery["vanilla"] <= 0.5


def test_bijections_are_learned_in_context_and_one_vector_is_one_example() -> None:
    run = tvl.load_pretrained("bijections-vanilla", device="cpu")
    generator = torch.Generator().manual_seed(2718)
    task, format = run.experiment.task, run.experiment.format
    assert isinstance(task, tvl.Bijections)
    episodes = tvl.sample_episodes(task, 1024, 9, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    asked = (run.model, task, format, episodes, queries)
    accuracy = measure_bijections(*asked, generator=generator).accuracy().estimate
    assert float(accuracy.sel(score="icl").min()) >= 0.99
    assert float(accuracy.sel(score="equals").min()) >= 0.9
    assert float(accuracy.sel(score="differs").max()) <= 0.05


def test_shipped_models_are_small() -> None:
    from tvlens.training.runs import PRETRAINED

    for folder in PRETRAINED.iterdir():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
