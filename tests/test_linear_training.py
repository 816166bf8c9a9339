"""Linear transformers train by the loop that all models train by, towards what theory says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

import tvlens as tvl
from tests.tiny_runs import TINY_LINEAR, same_weights, state_after, train_until
from tests.transcribed import attention
from tvlens import theory
from tvlens.base.errors import InputError
from tvlens.models import DropoutKind, FirstLayer, LinearConfig
from tvlens.prompts import COLUMN_FORMATS, ColumnFormat
from tvlens.tasks import LinearRegression, LowRankRegression, MatrixRegression, sample_episodes
from tvlens.training.experiment import Batch, Experiment
from tvlens.training.linear_presets import LINEAR_TRAINING, linear_presets
from tvlens.training.query_objective import QueryObjective, Sparsity
from tvlens.training.runs import train

SINGLE, PAIRWISE, TRIPLET = COLUMN_FORMATS[:3]
PRESETS = linear_presets()


def drawn(experiment: Experiment, batch: int = 6, seed: int = 0) -> tvl.Episodes:
    generator = Generator().manual_seed(seed)
    return sample_episodes(experiment.task, batch, experiment.train.shots, generator=generator)


# Losses


@pytest.mark.parametrize("format", COLUMN_FORMATS)
def test_the_loss_is_of_the_query_alone_with_the_sign_of_the_paper(format: ColumnFormat):
    """E |Z + y|^2 over d^2, where Z is the y half of the last token."""
    plain = replace(TINY_LINEAR, format=format, model=LinearConfig(init_std=0.5))
    model, episodes = plain.build_model(), drawn(plain)
    losses = plain.losses(model, Batch(episodes, {}), step=0)
    prompt = format.context(episodes)
    stream = model(prompt.inputs, prompt.position_ids, stop_at_layer=2)[:, -1, 2:]
    expected = (stream + episodes.target[:, -1]).square().sum(-1).mean() / 4
    assert_close(losses.icl, expected)
    assert_close(losses.total, losses.icl)
    assert losses.tvp.isnan()


def test_weights_cost_their_absolute_values_from_a_step_on():
    plain = replace(TINY_LINEAR, model=LinearConfig())
    model, episodes = plain.build_model(), drawn(plain)
    free, costly = (plain.losses(model, Batch(episodes, {}), step=step) for step in (7, 8))
    size = sum(float(weight.detach().abs().sum()) for weight in model.parameters())
    assert_close(free.total, free.icl)
    assert_close(costly.icl, free.icl)
    assert_close(costly.total - costly.icl, torch.tensor(1e-3 * size))


def test_training_drops_the_tokens_that_the_model_samples():
    model, episodes = TINY_LINEAR.build_model(), drawn(TINY_LINEAR)
    objective, task = TINY_LINEAR.objective, TINY_LINEAR.task
    generator = Generator().manual_seed(3)
    draws = objective.draw(model, task, TRIPLET, episodes, generator=generator)
    found = TINY_LINEAR.losses(model, Batch(episodes, draws), step=0).icl
    kept = model.sample_kept(episodes.batch, generator=Generator().manual_seed(3))
    prompt = TRIPLET.context(episodes)
    outputs = model(prompt.inputs, prompt.position_ids, kept=kept)[:, -1]
    assert_close(found, TINY_LINEAR.task.loss(outputs, episodes.target[:, -1]).mean() / 4)


# Training


def test_one_layer_learns_the_closed_form():
    """B C = -n / (n + 1 + d), of risk d^2 (d + 1) / (n + d + 1)."""
    training = replace(LINEAR_TRAINING, steps=600, batch=400, examples=4, warmup=20)
    experiment = Experiment(
        MatrixRegression(2), SINGLE, LinearConfig(1), QueryObjective(), training
    )
    model = state_after(experiment).model
    attn = attention(model, 0)
    episodes = drawn(experiment, 20_000, seed=1)
    with torch.no_grad():
        losses = experiment.losses(model, Batch(episodes, {}), step=0)
    assert float((attn.B * attn.C).detach()) == pytest.approx(
        4 * theory.optimal_mixing(4, 2), rel=0.05
    )
    assert 4 * float(losses.icl) == pytest.approx(theory.optimal_risk(4, 2), rel=0.03)


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path):
    train_until(7, TINY_LINEAR, tmp_path / "resumed")
    resumed, whole = (
        train(TINY_LINEAR, tmp_path / folder, device="cpu", resume=True)
        for folder in ("resumed", "whole")
    )
    assert same_weights(resumed.model, whole.model)
    assert resumed.history.data.identical(whole.history.data)
    assert same_weights(whole.model, state_after(TINY_LINEAR).model)
    assert whole.experiment == TINY_LINEAR


# Experiments


def test_every_preset_survives_a_file_and_builds_its_model():
    for name, preset in PRESETS.items():
        assert Experiment.from_json(preset.to_json()) == preset
        model = preset.build_model(device="meta")
        format, _, size = name.partition("-")
        layers, examples = size.split("-")[0].split("x")
        assert (model.format.name, model.n_layers) == (format, int(layers))
        assert model.examples == int(examples)


def test_presets_with_dropout_drop_as_they_are_named():
    presets: Any = PRESETS
    for name, preset in presets.items():
        _, found, keep = name.partition("-keep")
        assert preset.model.dropout.keep == (int(keep[:2]) / 100 if found else 1.0)
        assert (preset.objective.sparsity.weight > 0) == ("keep" in name or "sparse" in name)
    for format in ("pairwise", "triplet"):
        plain, written, code = (
            presets[f"{format}-2x5-keep80{ending}"].model.dropout.loses
            for ending in ("", "-as-written", "-as-code")
        )
        assert (plain, written) == (DropoutKind.INPUT, DropoutKind.OUTPUT)
        assert code is DropoutKind.ATTENTION_INPUT


def test_what_ships_is_trained_by_the_presets():
    for name in tvl.list_pretrained():
        for run in tvl.load_seeds(name, device="cpu"):
            if run.experiment.format in COLUMN_FORMATS:
                assert replace(run.experiment, seed=0) == tvl.PRESETS[name]


def test_what_does_not_belong_together_is_refused():
    linear, objective = LinearConfig(), QueryObjective()
    with pytest.raises(InputError, match="x and y of one width, got 5 and 1"):
        Experiment(LinearRegression(), TRIPLET, linear, objective)
    with pytest.raises(InputError, match=r"reads the columns of a ColumnFormat, got .*'zxy'"):
        Experiment(MatrixRegression(), tvl.ZXY, linear)
    with pytest.raises(InputError, match=r"embeds the tokens of a TokenFormat, got .*'triplet'"):
        Experiment(MatrixRegression(), TRIPLET, objective=objective)
    with pytest.raises(InputError, match=r"'triplet' a context is no beginning.*QueryObjective"):
        Experiment(MatrixRegression(), TRIPLET, linear, tvl.ICLObjective(tvp_weight=1.0))
    with pytest.raises(InputError, match=r"'zxy' has one after every example; take ICLObjective"):
        Experiment(objective=objective)
    with pytest.raises(InputError, match="take INSEPARABLE"):
        lifts = LinearConfig(first_layer=FirstLayer.LIFTS)
        Experiment(MatrixRegression(), TRIPLET, lifts, objective)
    with pytest.raises(InputError, match="weight >= 0 and after >= 0"):
        Sparsity(-1.0)


def test_a_low_rank_experiment_survives_a_file():
    experiment = replace(TINY_LINEAR, task=LowRankRegression(4, rank=2), format=PAIRWISE)
    assert Experiment.from_json(experiment.to_json()) == experiment
