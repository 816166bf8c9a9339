"""Linear transformers train by the loop that all models train by, towards what theory says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

import tvlens as tvl
from tests.tiny_runs import TINY_LINEAR, same_weights, state_after, train_until
from tests.transcribed import attention
from tvlens import theory
from tvlens.base.errors import InputError
from tvlens.models import DropoutKind, LinearConfig
from tvlens.prompts import COLUMN_FORMATS, ColumnFormat
from tvlens.tasks import LinearRegression, LowRankRegression, MatrixRegression, sample_episodes
from tvlens.training.linear_experiment import LinearExperiment, Sparsity
from tvlens.training.runs import load_run, train_run

SINGLE, PAIRWISE, TRIPLET = COLUMN_FORMATS[:3]


def drawn(experiment: LinearExperiment, batch: int = 6, seed: int = 0) -> tvl.Episodes:
    generator = Generator().manual_seed(seed)
    return sample_episodes(experiment.task, batch, experiment.train.shots, generator=generator)


# Losses


@pytest.mark.parametrize("format", COLUMN_FORMATS)
def test_the_loss_is_of_the_query_alone_with_the_sign_of_the_paper(format: ColumnFormat):
    """E |Z + y|^2 over d^2, where Z is the y half of the last token."""
    plain = replace(TINY_LINEAR, format=format, model=LinearConfig(init_std=0.5))
    model, episodes = plain.build_model(), drawn(plain)
    losses = plain.losses(model, episodes, generator=Generator(), step=0)
    prompt = format.context(episodes)
    stream = model(prompt.inputs, prompt.position_ids, stop_at_layer=2)[:, -1, 2:]
    expected = (stream + episodes.target[:, -1]).square().sum(-1).mean() / 4
    assert_close(losses.icl, expected)
    assert_close(losses.total, losses.icl)
    assert losses.tvp.isnan()


def test_weights_cost_their_absolute_values_from_a_step_on():
    plain = replace(TINY_LINEAR, model=LinearConfig())
    model, episodes = plain.build_model(), drawn(plain)
    free, costly = (
        plain.losses(model, episodes, generator=Generator(), step=step) for step in (7, 8)
    )
    size = sum(float(weight.detach().abs().sum()) for weight in model.parameters())
    assert_close(free.total, free.icl)
    assert_close(costly.icl, free.icl)
    assert_close(costly.total - costly.icl, torch.tensor(1e-3 * size))


def test_training_drops_the_tokens_that_the_model_samples():
    model, episodes = TINY_LINEAR.build_model(), drawn(TINY_LINEAR)
    found = TINY_LINEAR.losses(model, episodes, generator=Generator().manual_seed(3), step=0).icl
    kept = model.sample_kept(episodes.batch, generator=Generator().manual_seed(3))
    prompt = TRIPLET.context(episodes)
    outputs = model(prompt.inputs, prompt.position_ids, kept=kept)[:, -1]
    assert_close(found, TINY_LINEAR.task.loss(outputs, episodes.target[:, -1]).mean() / 4)


# Training


def test_one_layer_learns_the_closed_form():
    """B C = -n / (n + 1 + d), of risk d^2 (d + 1) / (n + d + 1)."""
    train = replace(LinearExperiment().train, steps=600, batch=400, examples=4, warmup=20)
    experiment = LinearExperiment(MatrixRegression(2), SINGLE, LinearConfig(1), train=train)
    model = state_after(experiment).model
    attn = attention(model, 0)
    episodes = drawn(experiment, 20_000, seed=1)
    with torch.no_grad():
        losses = experiment.losses(model, episodes, generator=Generator(), step=0)
    assert float((attn.B * attn.C).detach()) == pytest.approx(
        4 * theory.optimal_mixing(4, 2), rel=0.05
    )
    assert 4 * float(losses.icl) == pytest.approx(theory.optimal_risk(4, 2), rel=0.03)


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path):
    train_until(7, TINY_LINEAR, tmp_path / "resumed")
    for folder in ("resumed", "whole"):
        for _ in train_run(TINY_LINEAR, tmp_path / folder, device="cpu", resume=True):
            pass
    resumed, whole = (tvl.load_linear_run(tmp_path / f, device="cpu") for f in ("resumed", "whole"))
    assert same_weights(resumed.model, whole.model)
    assert resumed.history.data.identical(whole.history.data)
    assert same_weights(whole.model, state_after(TINY_LINEAR).model)
    assert whole.experiment == TINY_LINEAR


# Experiments


def test_every_preset_survives_a_file_and_builds_its_model():
    for name, preset in tvl.LINEAR_PRESETS.items():
        assert LinearExperiment.from_json(preset.to_json()) == preset
        model = preset.build_model(device="meta")
        format, _, size = name.partition("-")
        layers, examples = size.split("-")[0].split("x")
        assert (model.format.name, model.n_layers) == (format, int(layers))
        assert model.examples == int(examples)


def test_presets_with_dropout_drop_as_they_are_named():
    for name, preset in tvl.LINEAR_PRESETS.items():
        _, found, keep = name.partition("-keep")
        assert preset.model.dropout.keep == (int(keep[:2]) / 100 if found else 1.0)
        assert (preset.sparsity.weight > 0) == ("keep" in name or "sparse" in name)
    for format in ("pairwise", "triplet"):
        plain, written, code = (
            tvl.LINEAR_PRESETS[f"{format}-2x5-keep80{ending}"].model.dropout.loses
            for ending in ("", "-as-written", "-as-code")
        )
        assert (plain, written) == (DropoutKind.INPUT, DropoutKind.OUTPUT)
        assert code is DropoutKind.ATTENTION_INPUT


def test_what_ships_is_trained_by_the_presets():
    for name in tvl.list_pretrained_linear():
        for run in tvl.load_pretrained_linear(name, device="cpu"):
            assert replace(run.experiment, seed=0) == tvl.LINEAR_PRESETS[name]


def test_all_seeds_are_loaded_in_their_order(tmp_path: Path):
    for seed in (2, 1):
        for _ in train_run(
            replace(TINY_LINEAR, seed=seed), tmp_path / f"seed-{seed}", device="cpu"
        ):
            pass
    train_until(3, TINY_LINEAR, tmp_path / "seed-3")
    runs = tvl.load_linear_runs(tmp_path, device="cpu")
    assert [run.experiment.seed for run in runs] == [1, 2]


def test_what_can_not_be_trained_or_loaded_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="x and y of one width, got 5 and 1"):
        LinearExperiment(LinearRegression())
    with pytest.raises(InputError, match="weight >= 0 and after >= 0"):
        Sparsity(-1.0)
    with pytest.raises(InputError, match="no finished runs in its subfolders"):
        tvl.load_linear_runs(tmp_path)
    with pytest.raises(InputError, match="no pretrained linear transformer 'triplet-2x6'"):
        tvl.load_pretrained_linear("triplet-2x6")
    for _ in train_run(TINY_LINEAR, tmp_path / "run", device="cpu"):
        pass
    with pytest.raises(InputError, match=r"run of a linear transformer.*load_linear_run"):
        load_run(tmp_path / "run")


def test_a_low_rank_experiment_survives_a_file():
    experiment = LinearExperiment(LowRankRegression(4, rank=2), PAIRWISE)
    assert LinearExperiment.from_json(experiment.to_json()) == experiment
    assert type(experiment.task) in LinearExperiment.PARTS
