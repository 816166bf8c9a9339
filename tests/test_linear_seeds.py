"""Many seeds in one batch are the same trainings as one after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import linear_zoo
import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
import tvlens.training.loop
import tvlens.training.runs
from tests.running import Script
from tests.tiny_runs import TINY_LINEAR, same_weights, state_after, train_until
from tvlens.base.errors import DivergenceError, InputError
from tvlens.models import (
    AttentionWeights,
    FirstLayer,
    LinearConfig,
    LinearTransformer,
    TokenDropout,
)
from tvlens.prompts import COLUMN_FORMATS, ColumnFormat
from tvlens.tasks import sample_episodes
from tvlens.training.linear_experiment import Sparsity
from tvlens.training.linear_seeds import LinearSeeds
from tvlens.training.loop import TrainState, training_step
from tvlens.training.optimization import Muon
from tvlens.training.runs import train_run

CPU = torch.device("cpu")
SEEDS = (3, 5, 8)


def in_turn(seeds: LinearSeeds, steps: int) -> list[LinearTransformer]:
    """Each seed by a loop of its own, on its part of the data: what a batch of seeds must equal."""
    alone = seeds.experiment
    size, generator = alone.train.batch, seeds.data_generator(CPU)
    models = [replace(alone, seed=seed).build_model() for seed in seeds.seeds]
    optimizers = [alone.train.optimizer.build(model)[0] for model in models]
    for step in range(steps):
        episodes = sample_episodes(
            alone.task, size * len(models), alone.train.shots, generator=generator
        )
        prompt = alone.format.context(episodes)
        kept = models[0].sample_kept(episodes.batch, generator=generator)
        for index, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            part = slice(index * size, (index + 1) * size)
            mine = replace(prompt, inputs=prompt.inputs[part])
            answers = model.answer(mine, kept[:, part])
            error = (answers - episodes.target[part, -1]).square().sum(-1).mean()
            loss = error / alone.task.scale
            if step >= alone.sparsity.after:
                loss = loss + alone.sparsity.weight * l1(model)
            for group in optimizer.param_groups:
                factor = alone.train.schedule.factor(step, alone.train.steps, alone.train.warmup)
                group["lr"] = factor * alone.train.optimizer.learning_rate
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), alone.train.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
    return models


def l1(model: LinearTransformer) -> Tensor:
    return torch.cat([each.abs().flatten() for each in model.parameters()]).sum()


@pytest.mark.parametrize("format", COLUMN_FORMATS)
@pytest.mark.parametrize("weights", AttentionWeights)
def test_seeds_in_one_batch_are_seeds_one_after_the_other(
    format: ColumnFormat, weights: AttentionWeights
):
    """With dropout, a cost of weights, and gradients that are clipped for each seed alone."""
    model = replace(TINY_LINEAR.model, weights=weights, init_std=0.2)
    short = replace(TINY_LINEAR.train, clip_norm=0.3)
    seeds = LinearSeeds(replace(TINY_LINEAR, format=format, model=model, train=short), SEEDS)
    state = state_after(seeds, 12)
    for index, expected in enumerate(in_turn(seeds, 12)):
        found = state.model.weights_of(index)
        for name, weight in expected.named_parameters():
            assert_close(found[name], weight.detach(), rtol=1e-3, atol=1e-4)


def test_a_first_layer_that_compares_nothing_stays_so():
    blind = replace(TINY_LINEAR, model=replace(TINY_LINEAR.model, first_layer=FirstLayer.BLIND))
    seeds = LinearSeeds(blind, SEEDS)
    (_, first), *_ = seeds.alone(state_after(seeds, 4))
    assert first.model.blocks[0].attn.C.item() == 0


def test_each_seed_starts_as_it_does_alone():
    seeds = LinearSeeds(TINY_LINEAR, SEEDS)
    for experiment, state in seeds.alone(TrainState.start(seeds, CPU)):
        assert same_weights(state.model, experiment.build_model())


def test_seeds_see_data_of_their_own():
    """A loss for each; from equal weights they differ only by the data."""
    seeds = LinearSeeds(replace(TINY_LINEAR, sparsity=Sparsity()), SEEDS)
    state = TrainState.start(seeds, CPU)
    with torch.no_grad():
        for weight in state.model.weights:
            weight.copy_(weight[:1].expand_as(weight))
    losses = training_step(seeds, state)
    assert losses.icl.shape == (3,)
    assert len(set(losses.icl.tolist())) == 3


def test_every_seed_leaves_a_run_with_its_own_history(tmp_path: Path):
    seeds = LinearSeeds(TINY_LINEAR, SEEDS)
    for _ in train_run(seeds, tmp_path, device="cpu"):
        pass
    whole = state_after(seeds)
    runs = tvl.load_linear_runs(tmp_path, device="cpu")
    assert [run.experiment.seed for run in runs] == list(SEEDS)
    assert {path.name for path in tmp_path.iterdir()} == {"seed-3", "seed-5", "seed-8"}
    for index, run in enumerate(runs):
        assert run.experiment == replace(TINY_LINEAR, seed=SEEDS[index])
        assert run.provenance["trained_with"] == list(SEEDS)
        for name, weight in whole.model.weights_of(index).items():
            assert torch.equal(run.model.state_dict()[name], weight)
    ends = [run.history.data["icl"].values[-1] for run in runs]
    assert ends == [row[2] for row in whole.rows[-3:]]
    assert len(set(ends)) == 3
    with pytest.raises(InputError, match="seed-3 holds a finished run"):
        train_run(seeds, tmp_path, device="cpu")


@pytest.mark.parametrize("stop", [7, 8, 9])
def test_resumed_seeds_are_the_uninterrupted_ones_bit_for_bit(tmp_path: Path, stop: int):
    seeds = LinearSeeds(TINY_LINEAR, SEEDS)
    train_until(stop, seeds, tmp_path)
    for _ in train_run(seeds, tmp_path, device="cpu", resume=True):
        pass
    whole = state_after(seeds)
    for index, run in enumerate(tvl.load_linear_runs(tmp_path, device="cpu")):
        for name, weight in whole.model.weights_of(index).items():
            assert torch.equal(run.model.state_dict()[name], weight)


def test_seeds_that_a_killed_process_left_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seeds, saved = LinearSeeds(TINY_LINEAR, SEEDS), tvlens.training.runs.save_tensors

    def killed(path: Path, *args: Any) -> None:
        """The weights of a run are what is written last."""
        if path.parent.name == "seed-5":
            raise KeyboardInterrupt
        saved(path, *args)

    with monkeypatch.context() as broken:
        broken.setattr(tvlens.training.runs, "save_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            for _ in train_run(seeds, tmp_path, device="cpu"):
                pass
    assert [path.parent.name for path in tmp_path.glob("*/model.safetensors")] == ["seed-3"]
    for _ in train_run(seeds, tmp_path, device="cpu", resume=True):
        pass
    whole = state_after(seeds)
    runs = tvl.load_linear_runs(tmp_path, device="cpu")
    assert [run.experiment.seed for run in runs] == list(SEEDS)
    for index, run in enumerate(runs):
        for name, weight in whole.model.weights_of(index).items():
            assert torch.equal(run.model.state_dict()[name], weight)


def test_one_seed_that_diverges_is_noticed():
    seeds = LinearSeeds(replace(TINY_LINEAR, model=LinearConfig(), sparsity=Sparsity()), SEEDS)
    state = TrainState.start(seeds, CPU)
    with torch.no_grad():
        for weight in state.model.weights:
            weight[1] = 100
    state.pending.append(
        seeds.losses(
            state.model,
            sample_episodes(seeds.task, 24, 4, generator=Generator().manual_seed(0)),
            generator=Generator(),
            step=0,
        )
    )
    state.step = 1
    with pytest.raises(DivergenceError, match="half of the losses"):
        tvlens.training.loop.check_state(state)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_be_there_and_differ(seeds: tuple[int, ...]):
    with pytest.raises(InputError, match="one seed or more, each once"):
        LinearSeeds(TINY_LINEAR, seeds)


def test_muon_takes_no_stack_of_matrices():
    muon = replace(TINY_LINEAR, train=replace(TINY_LINEAR.train, optimizer=Muon()))
    with pytest.raises(InputError, match="Adam only"):
        LinearSeeds(muon, SEEDS)


def test_the_script_trains_seeds_in_one_batch(script: Script, tmp_path: Path):
    options = "--preset triplet-2x1 --seeds 2 4 --train.steps 4 --train.batch 5 --device cpu"
    code, printed, _ = script("train.py", *options.split(), "--out", tmp_path / "out")
    assert code == 0 and "Finished" in printed
    runs = tvl.load_linear_runs(tmp_path / "out")
    assert [run.experiment.seed for run in runs] == [2, 4]
    code, _, error = script("train.py", "--seeds", "1", "2", "--out", tmp_path / "no")
    assert code == 2 and "linear transformers only" in error


def test_dropout_draws_for_all_seeds_at_once():
    stack = LinearSeeds(TINY_LINEAR, SEEDS).build_model()
    kept = stack.sample_kept(12, generator=Generator().manual_seed(0))
    alone = TINY_LINEAR.build_model().sample_kept(12, generator=Generator().manual_seed(0))
    assert torch.equal(kept, alone)
    assert stack.config.dropout == TokenDropout(0.7)


def test_the_zoo_is_every_seed_that_ships_once(tmp_path: Path):
    for name in ("triplet-2x1", "triplet-3x5"):
        shipped = [run.experiment.seed for run in tvl.load_pretrained_linear(name)]
        asked = [experiment for experiment, _ in linear_zoo.trainings(name, tmp_path)]
        groups = [e.seeds if isinstance(e, LinearSeeds) else (e.seed,) for e in asked]
        assert sorted(seed for group in groups for seed in group) == shipped
    folder = tmp_path / "triplet-2x1" / "seed-2"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    left = [folder.name for _, folder in linear_zoo.trainings("triplet-2x1", tmp_path)]
    assert left == ["seed-1", "seed-3"]
