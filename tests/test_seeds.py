"""Many seeds in one batch are the same trainings as one after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import linear_zoo
import pytest
import torch
from torch.testing import assert_close

import tvlens as tvl
from tests.running import Script
from tests.tiny_runs import CPU, TINY, TINY_LINEAR, same_weights, state_after, train_until
from tvlens.base.errors import DivergenceError, InputError
from tvlens.models import AttentionWeights, FirstLayer, LinearConfig
from tvlens.prompts import COLUMN_FORMATS, ColumnFormat
from tvlens.training import AllLengths, Query, seeds_subject
from tvlens.training.experiment import Experiment
from tvlens.training.loop import TrainState, check_state, training_step
from tvlens.training.optimization import Adam, Muon
from tvlens.training.query_objective import QueryObjective
from tvlens.training.runs import load_seeds, load_snapshots, train, train_run
from tvlens.training.seeds import PROMPTS_AT_ONCE, Seeds

SEEDS = (3, 5, 8)
FRESH = replace(
    TINY,
    format=tvl.ARROW,
    objective=replace(TINY.objective, query=Query.FRESH, lengths=AllLengths()),
)


def optimized(experiment: Experiment, optimizer: Adam | Muon) -> Experiment:
    return replace(experiment, train=replace(experiment.train, optimizer=optimizer))


# A step


@pytest.mark.parametrize(
    "experiment",
    [
        optimized(TINY, Adam()),
        optimized(TINY, Muon()),
        optimized(FRESH, Muon()),
        replace(TINY, objective=tvl.ICLObjective()),
        TINY_LINEAR,
        optimized(TINY_LINEAR, Muon()),
    ],
    ids=["adam", "muon", "fresh queries", "vanilla", "linear", "linear, muon"],
)
def test_a_step_of_several_seeds_is_the_step_of_each_alone(experiment: Experiment):
    """In losses, gradients and weights, at the first step and at one of trained weights."""
    seeds = Seeds(experiment, SEEDS)
    together = TrainState.start(seeds, CPU)
    alone = [TrainState.start(each, CPU) for each in seeds.alone]
    for _ in range(2):
        gradients = gradients_of_next(seeds, together)
        losses = training_step(seeds, together)
        for index, (each, state) in enumerate(zip(seeds.alone, alone, strict=True)):
            own = gradients_of_next(each, state)
            found = training_step(each, state)
            for ours, theirs in zip(losses, found, strict=True):
                assert_close(ours[index], theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
            for name, gradient in own.items():
                assert_close(gradients[name][index], gradient, rtol=1e-5, atol=1e-5)
            weights = seeds.alone_in(together.model, index).state_dict()
            # Adam divides gradients by their size, and Muon makes all singular values equal.
            assert_close(dict(state.model.state_dict()), dict(weights), rtol=1e-3, atol=1e-3)
            state.model.load_state_dict(weights)  # That the next losses are of the same weights.


def gradients_of_next(experiment: Experiment | Seeds, state: TrainState) -> dict[str, torch.Tensor]:
    """The gradients of the next step, whose random draws are taken back."""
    before = [each.get_state() for each in state.generators]
    batch = experiment.draw(state.model, state.generators)
    for generator, kept in zip(state.generators, before, strict=True):
        generator.set_state(kept)
    compute: Any = experiment.losses
    total = compute(state.model, batch, step=state.step).total.sum()
    weights = dict(state.model.named_parameters())
    found = torch.autograd.grad(total, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("format", COLUMN_FORMATS)
@pytest.mark.parametrize("weights", AttentionWeights)
def test_seeds_in_one_batch_are_seeds_one_after_the_other(
    format: ColumnFormat, weights: AttentionWeights
):
    """With dropout, a cost of weights, and gradients that are clipped for each seed alone."""
    model = replace(TINY_LINEAR.model, weights=weights, init_std=0.2)
    short = replace(TINY_LINEAR.train, clip_norm=0.3)
    seeds = Seeds(replace(TINY_LINEAR, format=format, model=model, train=short), SEEDS)
    state = state_after(seeds, 12)
    for index, alone in enumerate(seeds.alone):
        found = seeds.alone_in(state.model, index)
        expected = state_after(alone, 12).model.state_dict()
        assert_close(dict(found.state_dict()), dict(expected), rtol=1e-3, atol=1e-4)


def test_more_seeds_than_are_computed_at_once(monkeypatch: pytest.MonkeyPatch):
    whole = state_after(Seeds(TINY_LINEAR, SEEDS), 3)
    monkeypatch.setitem(PROMPTS_AT_ONCE, "cpu", 9)
    parts = state_after(Seeds(TINY_LINEAR, SEEDS), 3)
    assert_close(dict(parts.model.state_dict()), dict(whole.model.state_dict()))


@pytest.mark.parametrize("experiment", [TINY, TINY_LINEAR], ids=["softmax", "linear"])
def test_each_seed_starts_as_it_does_alone(experiment: Experiment):
    seeds = Seeds(experiment, SEEDS)
    state = TrainState.start(seeds, CPU)
    for index, (alone, generator) in enumerate(zip(seeds.alone, state.generators, strict=True)):
        assert same_weights(seeds.alone_in(state.model, index), alone.build_model())
        (own,) = alone.generators(CPU)
        assert torch.equal(generator.get_state(), own.get_state())


def test_a_first_layer_that_compares_nothing_stays_so():
    blind = replace(TINY_LINEAR, model=replace(TINY_LINEAR.model, first_layer=FirstLayer.BLIND))
    seeds = Seeds(blind, SEEDS)
    first = seeds.alone_in(state_after(seeds, 4).model, 0)
    assert first.blocks[0].attn.C.item() == 0


def test_one_seed_that_diverges_is_noticed():
    plain = replace(TINY_LINEAR, model=LinearConfig(), objective=QueryObjective())
    seeds = Seeds(plain, SEEDS)
    state = TrainState.start(seeds, CPU)
    with torch.no_grad():
        for weight in state.model.parameters():
            weight[1] = 100
    batch = seeds.draw(state.model, state.generators)
    state.pending.append(seeds.losses(state.model, batch, step=0))
    state.step = 1
    with pytest.raises(DivergenceError, match="half of the losses"):
        check_state(state)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_be_there_and_differ(seeds: tuple[int, ...]):
    with pytest.raises(InputError, match="one seed or more, each once"):
        Seeds(TINY_LINEAR, seeds)


# Runs


@pytest.mark.parametrize("experiment", [TINY, TINY_LINEAR], ids=["softmax", "linear"])
def test_every_seed_is_a_run_with_its_own_history(tmp_path: Path, experiment: Experiment):
    seeds = Seeds(experiment, SEEDS)
    for _ in train_run(seeds, tmp_path, device="cpu"):
        pass
    whole = state_after(seeds)
    runs = load_seeds(tmp_path, device="cpu")
    assert [run.experiment for run in runs] == seeds.alone
    assert {each.name for each in tmp_path.iterdir()} == {
        "experiment.json",
        "model.safetensors",
        "history.nc",
    }
    history = seeds.history(whole.rows)
    assert history.data.icl.dims == ("step", "seed")
    for index, run in enumerate(runs):
        assert run.provenance["trained_with"] == list(SEEDS)
        assert run.provenance["seed"] == SEEDS[index]
        assert same_weights(run.model, seeds.alone_in(whole.model, index))
        assert run.history.data.icl.dims == ("step",)
        assert run.history.data.icl.values[-1] == whole.rows[-1].icl[index]
        assert run.history.data.identical(history.alone(SEEDS[index]).data)
    assert len({float(run.history.data.icl[-1]) for run in runs}) == 3
    assert tvl.load_run(tmp_path, device="cpu").experiment.seed == 3
    with pytest.raises(InputError, match="holds a finished run"):
        train_run(seeds, tmp_path, device="cpu")


@pytest.mark.parametrize("stop", [7, 8, 9])
@pytest.mark.parametrize("experiment", [TINY, TINY_LINEAR], ids=["softmax", "linear"])
def test_resumed_seeds_are_the_uninterrupted_ones_bit_for_bit(
    tmp_path: Path, stop: int, experiment: Experiment
):
    seeds = Seeds(experiment, SEEDS)
    train_until(stop, seeds, tmp_path)
    for _ in train_run(seeds, tmp_path, device="cpu", resume=True):
        pass
    whole = state_after(seeds)
    for index, run in enumerate(load_seeds(tmp_path, device="cpu")):
        assert same_weights(run.model, seeds.alone_in(whole.model, index))
        assert run.history.data.identical(seeds.history(whole.rows).alone(SEEDS[index]).data)


def test_seeds_keep_snapshots(tmp_path: Path):
    seeds = Seeds(TINY_LINEAR, SEEDS)
    for _ in train_run(seeds, tmp_path, device="cpu", snapshots=3):
        pass
    for index, run in enumerate(load_seeds(tmp_path, device="cpu")):
        assert run.snapshots is not None
        (first, start), *_, (last, end) = run.snapshots()
        assert (first, last) == (0, TINY_LINEAR.train.steps)
        assert same_weights(start, seeds.alone[index].build_model())
        assert same_weights(end, run.model)
    (_, start), *_ = load_snapshots(tmp_path, device="cpu")
    assert same_weights(start, seeds.alone[0].build_model())


def test_the_script_trains_seeds_in_one_batch(script: Script, tmp_path: Path):
    options = "--preset triplet-2x1 --seeds 2 4 --train.steps 4 --train.batch 5 --device cpu"
    code, printed, _ = script("train.py", *options.split(), "--out", tmp_path / "out")
    assert code == 0 and "Finished" in printed
    runs = load_seeds(tmp_path / "out")
    assert [run.experiment.seed for run in runs] == [2, 4]


def test_the_zoo_is_every_seed_that_ships_once():
    for name in ("triplet-2x1", "triplet-3x5"):
        shipped = [run.experiment.seed for run in load_seeds(name, device="cpu")]
        assert linear_zoo.again(name) == Seeds(tvl.PRESETS[name], tuple(shipped))


def test_runs_below_a_folder_are_loaded_in_the_order_of_their_names(tmp_path: Path):
    for seed in (2, 1):
        train(replace(TINY_LINEAR, seed=seed), tmp_path / f"seed-{seed}", device="cpu")
    train_until(3, TINY_LINEAR, tmp_path / "seed-3")
    assert [run.experiment.seed for run in load_seeds(tmp_path, device="cpu")] == [1, 2]


@pytest.mark.parametrize("name", ["triplet-2x6", "nowhere/at/all"])
def test_seeds_that_are_nowhere_are_refused(name: str):
    with pytest.raises(InputError, match=f"no pretrained model and no folder '{name}'"):
        load_seeds(name)


# Subjects


def test_a_run_is_a_subject_of_what_it_was_trained_for(tmp_path: Path):
    run = train(TINY, tmp_path / "run", device="cpu", snapshots=3)
    subject = run.subject(episodes=32, name="tiny")
    assert (subject.task, subject.format) == (TINY.task, TINY.format)
    assert subject.training == tvl.Training(TINY.task, TINY.format, TINY.train.examples, 1)
    assert subject.layer == 1
    assert subject.test == tvl.Test(32, TINY.train.examples)
    assert same_weights(subject.untrained_model, TINY.build_model())
    assert subject.snapshots is not None
    assert [step for step, _ in subject.snapshots()][::2] == [0, TINY.train.steps]
    asked = run.subject(layer=0, examples=2, seed=4)
    assert (asked.layer, asked.test) == (0, tvl.Test(512, 2, 4))


def test_no_vector_is_prescribed_without_a_tvp_loss(tmp_path: Path):
    for experiment in (replace(TINY, objective=tvl.ICLObjective()), TINY_LINEAR):
        assert experiment.objective.prescribed_layer is None
    (run, *_) = load_seeds("triplet-2x5", device="cpu")
    training: Any = run.subject().training
    assert training.tvp_layer is None


def test_runs_that_differ_in_their_seed_are_one_subject():
    runs = load_seeds("triplet-2x5", device="cpu")
    subject = seeds_subject(runs, episodes=16)
    assert len(subject.models) == len(subject.untrained) == len(runs)
    for run, untrained in zip(runs, subject.untrained, strict=True):
        assert same_weights(untrained, run.experiment.build_model())
    others = load_seeds("triplet-2x10", device="cpu")
    with pytest.raises(InputError, match="differ in nothing but their seed"):
        seeds_subject([*runs, *others])
    with pytest.raises(InputError, match="at least one run"):
        seeds_subject([])
