"""Attention maps and saliency maps against models whose attention is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator

import tvlens as tvl
from tests.own_tasks import Constant
from tests.planted import planted_model
from tests.planted_heads import CopyModel
from tests.random_models import (
    TASK,
    data,
    double_model,
    each_format,
    losses_of,
    random_model,
)
from tests.running import Script
from tests.wrapped import Bridged
from tvlens.analysis.attention_map import measure_attention_map
from tvlens.analysis.saliency_map import measure_saliency_map
from tvlens.interventions.hooks import hooked_pass
from tvlens.prompts import ARROW, XYZ, ZXY, Episodes, TokenFormat
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import AttentionMap


def map_copies() -> AttentionMap:
    episodes, queries, _ = data(Constant())
    return measure_attention_map(CopyModel(), Constant(), ZXY, episodes, queries, layer=1)


# attention_map


@each_format
def test_attention_is_shared_among_all_that_a_token_sees(format: TokenFormat):
    model, (episodes, queries, _) = double_model(format), data()
    maps = measure_attention_map(model, TASK, format, episodes, queries, layer=1).data
    np.testing.assert_allclose(maps.context.sum(["key", "distance"]), 1, rtol=1e-5)
    for name in ("prompted", "zero_shot"):
        np.testing.assert_allclose(maps[name].sum("asked"), 1, rtol=1e-5)
    # Below the layer of the vector, and with it at the layer, both prompts are the same.
    first = maps.sel(block=0)
    np.testing.assert_array_equal(first.prompted, first.zero_shot)
    if format.carrier is not format.answer:
        assert (abs(maps.prompted - maps.zero_shot).sel(block=1).max("episode") > 1e-6).any()


def test_attention_is_the_mean_over_tokens_of_sums_over_tokens():
    model, (episodes, queries, _) = double_model(), data()
    maps = measure_attention_map(model, TASK, ZXY, episodes, queries, layer=1)
    prompt = ZXY.context(episodes)
    name = "blocks.1.attn.hook_pattern"
    pattern = hooked_pass(model, prompt, read=[name]).activations[name].detach()
    # z x y z x y z x y z x: the tokens of the second example on are those from position 3 on.
    found = maps.data.context.sel(block=1)
    ys, zs = [2, 5, 8], [3, 6, 9]
    previous = np.mean([pattern[:, :, z, z - 1] for z in zs], axis=0)
    earlier = np.mean([pattern[:, :, z, [y for y in ys if y < z - 1]].sum(-1) for z in zs], axis=0)
    to_y = found.sel(query="z", key="y").transpose("episode", "head", "distance")
    np.testing.assert_allclose(to_y.sel(distance="previous"), previous, rtol=1e-5)
    np.testing.assert_allclose(to_y.sel(distance="earlier"), earlier, rtol=1e-5)
    np.testing.assert_array_equal(to_y.sel(distance="own"), 0)
    own = np.mean([pattern[:, :, x, x - 1] for x in (4, 7, 10)], axis=0)
    to_z = found.sel(query="x", key="z", distance="own").transpose("episode", "head")
    np.testing.assert_allclose(to_z, own, rtol=1e-5)


def test_the_copying_heads_look_where_they_were_told_to():
    maps = map_copies()
    means = maps.means().sel(bound="estimate")
    expected = {(0, 0, "z"): ("y", "previous"), (1, 1, "x"): ("z", "own")}
    for block in (0, 1):
        for head in (0, 1, 2):
            for query in ("z", "x", "y"):
                key, distance = expected.get((block, head, query), (query, "own"))
                row = means.context.sel(block=block, head=head, query=query)
                np.testing.assert_allclose(row.sel(key=key, distance=distance), 1)
                np.testing.assert_allclose(row.sum(), 1)
    assert means.prompted.sel(block=1, head=1, asking="x", asked="z") == 1
    scores = maps.scores()
    for name in ("carrier_to_y", "answer_to_carrier", "prompted_answer_to_carrier"):
        np.testing.assert_allclose(scores.loc[name], 1)
    np.testing.assert_array_equal(scores.loc["answer_to_y"], 0)


def test_the_carrier_that_closes_an_example_stands_in_the_previous_one():
    model, (episodes, queries, _) = double_model(XYZ), data()
    maps = measure_attention_map(model, TASK, XYZ, episodes, queries, layer=1)
    context = maps.data.context.sel(query="x", key="z")
    assert float(context.sel(distance="own").sum()) == 0
    largest = context.sel(distance="previous").mean("episode").max()
    np.testing.assert_allclose(maps.scores().loc["answer_to_carrier", "estimate"], largest)


def test_a_bridge_attends_like_the_model_it_was_made_from():
    model = random_model(ZXY)
    episodes, queries = (
        Episodes(*(each.float() for each in (e.x, e.y, e.target, e.params))) for e in data()[:2]
    )
    ours, theirs = (
        measure_attention_map(each, TASK, ZXY, episodes, queries, layer=2)
        for each in (model, Bridged(model))
    )
    xr.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-6)
    ours, theirs = (
        measure_saliency_map(each, TASK, ZXY, episodes) for each in (model, Bridged(model))
    )
    xr.testing.assert_allclose(ours.data, theirs.data, rtol=1e-3, atol=1e-5)


# saliency_map


def test_saliency_is_attention_times_finite_differences_of_the_loss():
    model, few = double_model(), data()[0][:2]
    episodes = Episodes(few.x[:, :2], few.y[:, :2], few.target[:, :2], few.params)
    result = measure_saliency_map(model, TASK, ZXY, episodes)
    prompt, step = ZXY.context(episodes), 1e-5
    kinds = ["z", "x", "y", "last z", "last x"]
    assert list(result.data.key.values) == list(result.data["query"].values) == kinds
    for block in (0, 1, 2):
        name = f"blocks.{block}.attn.hook_pattern"
        pattern = hooked_pass(model, prompt, read=[name]).activations[name].detach()
        edges = torch.eye(pattern[0].numel(), dtype=pattern.dtype)

        up, down = (
            losses_of(model, episodes, name, move) for move in (step * edges, -step * edges)
        )
        gradient = (up - down) / (2 * step)
        signed = pattern * gradient.T.unflatten(1, pattern.shape[1:])
        # With two examples, every token is the only one of its kind.
        found = result.data.sel(block=block).transpose("episode", "query", "key")
        np.testing.assert_allclose(found.per_head, signed.abs().sum(1), rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(found.joint, signed.sum(1).abs(), rtol=1e-5, atol=1e-9)
    # What is hidden by the mask has none.
    for looks, looked in ((0, 1), (0, 4), (2, 3), (3, 4)):
        assert not result.data.isel(query=looks, key=looked).to_array().any()


def test_saliency_runs_along_the_edges_of_the_copying_heads_only():
    task, (_, _, others) = Constant(), data(Constant())
    episodes = data(task)[0]
    wrong = Episodes(episodes.x, others.y, episodes.target, episodes.params)
    result = measure_saliency_map(CopyModel(), task, ZXY, wrong)
    shares = result.shares()
    for measure in ("per_head", "joint"):
        share = shares.estimate.sel(measure=measure)
        np.testing.assert_allclose(share.sum(), 1)
        np.testing.assert_allclose(share.sel(block=0, query="last z", key="y"), 0.5)
        np.testing.assert_allclose(share.sel(block=1, query="last x", key="last z"), 0.5)
    scores = result.scores()
    np.testing.assert_allclose(scores.loc["examples_to_carrier"], 0.5)
    np.testing.assert_allclose(scores.loc["carrier_to_answer"], 0.5)
    np.testing.assert_allclose(scores.loc["examples_to_answer"], 0)


def test_the_answer_of_the_arrow_format_carries_too():
    model, (episodes, _, _) = double_model(ARROW), data()
    scores = measure_saliency_map(model, TASK, ARROW, episodes).scores()
    np.testing.assert_array_equal(scores.loc["carrier_to_answer"], 0)
    np.testing.assert_array_equal(
        scores.loc["examples_to_carrier"], scores.loc["examples_to_answer"]
    )


def test_saliency_needs_no_weights_that_train_and_leaves_no_gradients():
    model, (episodes, _, _) = double_model(), data()
    plain = measure_saliency_map(model, TASK, ZXY, episodes)
    assert all(weight.grad is None for weight in model.parameters())
    with torch.no_grad():
        frozen = measure_saliency_map(model.requires_grad_(False), TASK, ZXY, episodes)
    xr.testing.assert_identical(frozen.data, plain.data)
    assert not episodes.x.requires_grad


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    model, (episodes, queries, _) = double_model(), data()

    def both() -> tuple[xr.Dataset, xr.Dataset]:
        maps = measure_attention_map(model, TASK, ZXY, episodes, queries, layer=1)
        return maps.data, measure_saliency_map(model, TASK, ZXY, episodes).data

    whole = both()
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 30)
    for first, second in zip(whole, both(), strict=True):
        xr.testing.assert_allclose(first, second, rtol=1e-6)


# What can not be asked


def test_a_model_without_attention_patterns_is_refused():
    planted, (episodes, queries, _) = planted_model(3, 1, 2, 3), data()
    message = r"no hook point 'blocks\.0\.attn\.hook_pattern'"
    with pytest.raises(tvl.InputError, match=message):
        measure_attention_map(planted, TASK, ZXY, episodes, queries, layer=1)
    with pytest.raises(tvl.InputError, match=message):
        measure_saliency_map(planted, TASK, ZXY, episodes)


def test_too_short_contexts_and_missing_layers_are_refused():
    model = double_model()
    short = tvl.sample_episodes(TASK, 4, 2, generator=Generator().manual_seed(0))
    with pytest.raises(tvl.InputError, match="at least 3 shots, got 2"):
        measure_attention_map(model, TASK, ZXY, short, short, layer=1)
    with pytest.raises(tvl.InputError, match=r"Layer 4 is out of range.*0\.\.3"):
        measure_attention_map(model, TASK, ZXY, *data()[:2], layer=4)


# Results, figures, scripts


def test_results_are_saved_and_loaded_identically(tmp_path: Path):
    model, (episodes, _, _) = double_model(), data()
    saliency = measure_saliency_map(model, TASK, ZXY, episodes)
    for result in (map_copies(), saliency):
        result.save(tmp_path / "result.nc")
        assert type(result).load(tmp_path / "result.nc").data.identical(result.data)


def test_the_figure_shows_each_head_in_a_row():
    maps = map_copies()
    drawn: Any = tvl.plots.plot_attention_map({"a": maps, "b": maps})
    assert len(drawn.data) == 2 * 4
    carrier = drawn.data[0]
    assert list(carrier.y) == ["L0H0", "L0H1", "L0H2", "L1H0", "L1H1", "L1H2"]
    assert list(carrier.x) == ["z<br>own", "y<br>previous"]
    np.testing.assert_allclose(carrier.z[:, 1], [1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(carrier.customdata[0, 1], [1, 1])
    assert {trace.coloraxis for trace in drawn.data} == {"coloraxis"}
    assert (drawn.layout.coloraxis.cmin, drawn.layout.coloraxis.cmax) == (0, 1)


def test_the_figure_shows_each_block_in_a_panel():
    model, (episodes, _, _) = double_model(), data()
    result = measure_saliency_map(model, TASK, ZXY, episodes)
    drawn: Any = tvl.plots.plot_saliency_map({"a": result, "b": result})
    assert len(drawn.data) == 2 * 3
    shares = result.shares().sel(block=1).transpose("measure", "query", "key")
    np.testing.assert_array_equal(drawn.data[1].z, shares.estimate.sel(measure="per_head"))
    np.testing.assert_array_equal(
        drawn.data[1].customdata[..., 2], shares.estimate.sel(measure="joint")
    )
    assert list(drawn.data[1].x) == ["z", "x", "y", "last z", "last x"]
    assert [each.text for each in drawn.layout.annotations][:4] == [
        *("a, block 0", "a, block 1", "a, block 2", "b, block 0")
    ]


@pytest.mark.parametrize("name", ["attention_map", "saliency_map"])
def test_scripts_analyse_models_that_ship(script: Script, tmp_path: Path, name: str):
    arguments = ["offset-vanilla", "linear-arrow-tvp", "--episodes", 10, "--examples", 3]
    ended = script(f"{name}.py", *arguments, "--layer", 1, "--out", tmp_path)
    assert ended.code == 0, ended.error
    endings = {f"{name}.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings
    assert "linear-arrow-tvp" in ended.out
