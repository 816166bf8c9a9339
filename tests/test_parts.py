"""Heads and MLPs: activations by name, contributions to the vector, effects on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor
from torch.testing import assert_close

import tvlens as tvl
from tests.own_tasks import Constant
from tests.planted import planted_model
from tests.planted_heads import CopyModel
from tests.random_models import (
    SHOTS,
    TASK,
    SkipsBlock,
    data,
    double_model,
    each_format,
    random_model,
)
from tests.readme_example import python_blocks
from tests.running import Script
from tests.wrapped import Bridged, Wrapped
from tvlens.analysis.contributions import measure_contributions
from tvlens.analysis.part_effects import measure_part_effects
from tvlens.interventions import read_all
from tvlens.interventions.hooks import hooked_pass
from tvlens.interventions.parts import Part, list_parts, part_names, swapped
from tvlens.interventions.patching import residual_name
from tvlens.interventions.residual_stream import residual_stream
from tvlens.models import HookedTransformer, Positions
from tvlens.prompts import ZXY, Episodes, Role, TokenFormat
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import Contributions, PartEffects

# hooked_pass


def test_a_pass_reads_and_edits_by_name_and_keeps_gradients():
    model: Any = double_model()
    prompt = ZXY.context(data()[0])
    name = "blocks.1.attn.hook_z"
    plain = hooked_pass(model, prompt, read=[name])
    assert torch.equal(plain.outputs, model(prompt.inputs, prompt.position_ids))
    same = hooked_pass(model, prompt, read=[name], edits={name: lambda z: z * 1})
    assert torch.equal(same.outputs, plain.outputs)
    edited = hooked_pass(model, prompt, read=[name], edits={name: lambda z: 2 * z})
    assert torch.equal(edited.activations[name], 2 * plain.activations[name])
    # Heads write linearly: doubling them adds what they write to the stream.
    attention = hooked_pass(model, prompt, read=["blocks.1.hook_attn_out"]).activations
    bias = model.blocks[1].attn.b_O
    twice = hooked_pass(model, prompt, edits={"blocks.1.hook_attn_out": lambda out: 2 * out - bias})
    assert_close(edited.outputs, twice.outputs, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(plain.outputs.sum(), plain.activations[name])
    assert gradient.abs().max() > 0
    assert attention["blocks.1.hook_attn_out"].requires_grad
    assert not any(point._forward_hooks for point in model.hook_dict.values())


def test_a_pass_names_what_is_missing_and_counts_what_fires():
    prompt = ZXY.context(data()[0])
    with pytest.raises(tvl.InputError, match=r"has no hook point 'blocks\.9\.hook_mlp_out'"):
        hooked_pass(double_model(), prompt, read=["blocks.9.hook_mlp_out"])
    skips = random_model(ZXY, dtype=torch.float64, kind=SkipsBlock)
    with pytest.raises(RuntimeError, match=r"hook_z fired 0 times"):
        hooked_pass(skips, prompt, edits={"blocks.1.attn.hook_z": lambda z: z})


# parts


def test_parts_are_found_by_their_hook_points():
    model, prompt = double_model(), ZXY.context(data()[0])
    parts = list_parts(hooked_pass(model, prompt, read=part_names(model)).activations)
    expected = [Part(block, head) for block in (0, 1, 2) for head in (0, 1, None)]
    assert parts == expected
    assert [str(part) for part in parts[:3]] == ["L0H0", "L0H1", "L0 MLP"]
    copies = CopyModel()
    seen = hooked_pass(copies, ZXY.context(data(Constant())[0]), read=part_names(copies))
    assert [str(p) for p in list_parts(seen.activations)] == [
        f"L{block}H{head}" for block in (0, 1) for head in (0, 1, 2)
    ]


@pytest.mark.parametrize("wrap", [lambda model: model, Wrapped], ids=["stored", "hooked"])
def test_all_parts_swapped_at_a_token_are_a_patch_of_the_stream(wrap: Any):
    model, (episodes, _, others) = wrap(double_model()), data()
    clean, corrupt = ZXY.context(episodes), ZXY.context(others)
    values = hooked_pass(model, clean, read=part_names(model)).activations
    parts, stream = list_parts(values), residual_stream(model, corrupt)
    for layer in (1, 2, 3):
        # The token embeds the same in both contexts, so that its parts are all that differs.
        site = tvl.Site(layer, Role.Z, -1)
        group = [part for part in parts if part.block < layer]
        edits = swapped([group, []], values, site.places(clean).positions())
        ran = stream.rerun(edits, layer=0, tokens=2, copies=2)
        both, untouched = ran.outputs[:, -1].unflatten(0, (2, -1))
        sites = [tvl.Site(below, Role.Z, -1) for below in range(1, layer + 1)]
        patched = stream.answer(read_all(model, clean, sites))
        assert_close(both, patched, rtol=0, atol=1e-11)
        assert_close(untouched, stream.answer(), rtol=0, atol=1e-11)
        stored = ran.layers[layer].unflatten(0, (2, -1))[0, :, :1]
        assert_close(stored, tvl.read(model, clean, site), rtol=0, atol=1e-11)


# contributions


@each_format
def test_contributions_sum_to_the_vector(format: TokenFormat):
    model, (episodes, _, _) = double_model(format, Positions.LEARNED), data()
    for layer in range(model.n_layers + 1):
        result = measure_contributions(model, TASK, format, episodes, layer=layer)
        site = tvl.Site(layer, format.carrier, -1)
        vector = tvl.read(model, format.context(episodes), site)[:, 0].detach().numpy()
        np.testing.assert_array_equal(result.data.vectors, vector)
        total = result.data.contributions.sum("part")
        np.testing.assert_allclose(total, vector, rtol=0, atol=1e-12)
        shares = result.shares().estimate.sum("part", skipna=False)
        np.testing.assert_allclose(shares.sel(measure="whole"), 1, rtol=0, atol=1e-10)
        same_for_all = layer == 0 and format.carrier is not Role.X
        expected = np.nan if same_for_all else 1
        np.testing.assert_allclose(shares.sel(measure="varying"), expected, rtol=0, atol=1e-10)
        scores = result.scores()["estimate"].to_dict()
        defined = [scores[name] for name in ("heads", "MLPs", "largest", "parts")]
        assert np.isnan(defined).tolist() == [same_for_all] * 4
        assert (scores["varying_norm"] == 0) == same_for_all


def test_shares_of_a_hand_made_vector():
    # Two episodes; a constant of length 2 by the MLP, and a task of length 1 by the head.
    added = np.zeros((2, 3, 2))
    added[:, 0, 0] = 2.0
    added[:, 1, 1] = [0.75, -0.75]
    added[:, 2, 1] = [0.25, -0.25]
    result = Contributions(
        xr.Dataset(
            {
                "contributions": (("episode", "part", "component"), added),
                "vectors": (("episode", "component"), added.sum(1)),
            },
            coords={
                "part": ["L0 MLP", "L1H0", "L1H1"],
                "kind": ("part", ["MLP", "head", "head"]),
            },
        )
    )
    shares = result.shares().estimate
    np.testing.assert_allclose(shares.sel(measure="whole"), [4 / 5, 0.75 / 5, 0.25 / 5])
    np.testing.assert_allclose(shares.sel(measure="varying"), [0, 0.75, 0.25])
    scores = result.scores()["estimate"]
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    expected = {"embedding": 0, "heads": 1, "MLPs": 0, "largest": 0.75, "varying_norm": 1 / 5}
    for name, value in (expected | {"parts": np.exp(entropy)}).items():
        np.testing.assert_allclose(scores[name], value, atol=1e-12, err_msg=name)


def test_the_copying_head_makes_all_of_the_task():
    episodes, _, _ = data(Constant())
    result = measure_contributions(CopyModel(), Constant(), ZXY, episodes, layer=1)
    task = result.shares().estimate.sel(measure="varying")
    expected = [float(part == "L0H0") for part in task.part.values]
    np.testing.assert_allclose(task, expected, rtol=0, atol=1e-12)


class NormsAfter(HookedTransformer):
    """Its blocks halve what they add, after the hook points of their parts."""

    def forward(self, inputs: Tensor, position_ids: Tensor | None = None, **_: Any) -> Tensor:
        residual = super().forward(inputs, position_ids, stop_at_layer=0)
        for layer in range(self.n_layers):
            above = super().forward(
                residual, position_ids, start_at_layer=layer, stop_at_layer=layer + 1
            )
            residual = (residual + above) / 2
        return super().forward(residual, position_ids, start_at_layer=self.n_layers)


def test_a_stream_that_is_more_than_its_parts_is_refused():
    model = random_model(ZXY, dtype=torch.float64, kind=NormsAfter)
    with pytest.raises(tvl.InputError, match="something else writes into it"):
        measure_contributions(model, TASK, ZXY, data()[0], layer=2)


def test_heads_that_do_not_tell_how_they_write_are_refused():
    model: Any = CopyModel()
    del model.blocks[0].attn.W_O
    with pytest.raises(tvl.InputError, match=r"blocks\[0\]\.attn.*W_O"):
        measure_contributions(model, Constant(), ZXY, data(Constant())[0], layer=1)


# part_effects


def test_only_the_copying_heads_matter_and_they_are_everything(results: Any):
    _, effects = results
    np.testing.assert_allclose(effects.data[["icl", "tvp"]].to_array(), 0, atol=1e-12)
    estimate = effects.effects().estimate
    everything = {
        "written": ["L0H0", "L0 heads"],
        "gathered": ["L0H0", "L0 heads"],
        "read": ["L1H1", "L1 heads"],
        "in_context": ["L0H0", "L0 heads", "L1H1", "L1 heads"],
        "carrier": ["L0H0", "L0 heads"],
        "answer": ["L1H1", "L1 heads"],
    }
    for effect, parts in everything.items():
        expected = [float(part in parts) for part in estimate.part.values]
        np.testing.assert_allclose(estimate.sel(effect=effect), expected, atol=1e-6, err_msg=effect)
    # Forgetting: from (b - a)^2 to (0 - a)^2, where the answer is a and the context shows b.
    data_ = effects.data
    forgotten = (data_.corrupt - data_.zero_shot).sum() / data_.corrupt.sum()
    removed = estimate.sel(effect="carrier_removed", part="L0H0")
    np.testing.assert_allclose(removed, forgotten, atol=1e-6)
    scores = effects.scores()
    np.testing.assert_allclose(scores.loc["written_part"], 1, atol=1e-6)
    np.testing.assert_allclose(scores.loc["written_number"], 1, atol=1e-6)
    np.testing.assert_allclose(scores.loc["in_context_number"], 2, atol=1e-6)


@each_format
def test_any_model_has_the_effects_that_the_fast_path_finds(format: TokenFormat):
    model, some = double_model(format), data()
    fast = measure_part_effects(model, TASK, format, *some, layer=2)
    slow = measure_part_effects(Wrapped(model), TASK, format, *some, layer=2)
    xr.testing.assert_allclose(fast.data, slow.data, rtol=1e-5, atol=1e-6)


def test_effects_are_those_of_a_plain_loop():
    """One part at a time, by hooks, without any batching."""
    model, (episodes, queries, others) = double_model(), data()
    result = measure_part_effects(model, TASK, ZXY, episodes, queries, others, layer=2)
    context, last = ZXY.context(episodes), SHOTS * 3 - 2
    asked = ZXY.zero_shot(queries, torch.tensor([[SHOTS - 1]]))
    clean = hooked_pass(model, context, read=part_names(model)).activations
    vector = residual_name(model, 2)

    def prompted(vectors: Tensor, edits: dict | None = None) -> Tensor:
        def write(residual: Tensor) -> Tensor:
            return torch.cat([vectors, residual[:, 1:]], dim=1)

        outputs = hooked_pass(model, asked, edits={vector: write, **(edits or {})}).outputs[:, -1]
        return TASK.error(outputs, queries.target[:, -1])

    def check(name: str, part: Part, error: Tensor) -> None:
        found = result.data[name].sel(part=str(part)).values
        np.testing.assert_allclose(found, error.detach(), rtol=1e-5, err_msg=f"{name} {part}")

    def put(part: Part, value: Tensor, positions: slice) -> dict:
        def edit(output: Tensor) -> Tensor:
            output = output.clone()
            index = (slice(None), positions, *(() if part.head is None else (part.head,)))
            output[index] = value[index].expand_as(output[index])
            return output

        return {part.hook_name: edit}

    means = {name: each.mean(0, keepdim=True) for name, each in clean.items()}
    intact = hooked_pass(model, context, read=[vector]).activations[vector][:, last - 1 : last]
    writes = {vector: lambda residual: torch.cat([intact, residual[:, 1:]], dim=1)}
    reading = hooked_pass(model, asked, read=part_names(model), edits=writes).activations
    np.testing.assert_allclose(result.data.tvp, prompted(intact).detach(), rtol=1e-5)
    for part in (Part(0, 1), Part(1), Part(2, 0), Part(2)):
        at_carrier, everywhere = slice(last - 1, last), slice(None)
        mean = means[part.hook_name]
        here = hooked_pass(model, context, read=[vector], edits=put(part, mean, at_carrier))
        check("written", part, prompted(here.activations[vector][:, at_carrier]))
        anywhere = hooked_pass(model, context, read=[vector], edits=put(part, mean, everywhere))
        check("gathered", part, prompted(anywhere.activations[vector][:, at_carrier]))
        icl = TASK.error(anywhere.outputs[:, -1], episodes.target[:, -1])
        check("in_context", part, icl)
        average = reading[part.hook_name].mean(0, keepdim=True)
        check("read", part, prompted(intact, put(part, average, slice(1, 2))))
        for name, position in (("carrier", last - 1), ("answer", last)):
            at = slice(position, position + 1)
            for ending, value in (("", clean[part.hook_name]), ("_removed", mean)):
                edits = put(part, value, at)
                outputs = hooked_pass(model, ZXY.context(others), edits=edits).outputs[:, -1]
                check(name + ending, part, TASK.error(outputs, episodes.target[:, -1]))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    model, some = double_model(), data()
    whole = measure_part_effects(model, TASK, ZXY, *some, layer=2)
    added = measure_contributions(model, TASK, ZXY, some[0], layer=2)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 150)
    again = measure_part_effects(model, TASK, ZXY, *some, layer=2)
    xr.testing.assert_allclose(whole.data, again.data, rtol=1e-5, atol=1e-6)
    xr.testing.assert_allclose(
        added.data, measure_contributions(model, TASK, ZXY, some[0], layer=2).data
    )


def test_a_bridge_has_the_parts_of_the_model_it_was_made_from():
    model, (episodes, queries, others) = (
        random_model(ZXY),
        [Episodes(*(each.float() for each in (e.x, e.y, e.target, e.params))) for e in data()],
    )
    bridged = Bridged(model)
    ours, theirs = (
        measure_contributions(each, TASK, ZXY, episodes, layer=2) for each in (model, bridged)
    )
    xr.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-5)
    ours, theirs = (
        measure_part_effects(each, TASK, ZXY, episodes, queries, others, layer=2)
        for each in (model, bridged)
    )
    xr.testing.assert_allclose(ours.data, theirs.data, rtol=1e-3, atol=1e-4)


def test_a_model_without_heads_is_refused():
    planted, (episodes, queries, others) = planted_model(3, 1, 2, 3), data()
    with pytest.raises(tvl.InputError, match=r"no hook point 'blocks\.0\.attn\.hook_z'"):
        measure_contributions(planted, TASK, ZXY, episodes, layer=1)
    with pytest.raises(tvl.InputError, match=r"no hook point 'blocks\.0\.attn\.hook_z'"):
        measure_part_effects(planted, TASK, ZXY, episodes, queries, others, layer=1)


def test_corrupted_episodes_must_be_the_same_inputs_under_other_functions():
    model, (episodes, queries, _) = double_model(), data()
    with pytest.raises(tvl.InputError, match="show the very function"):
        measure_part_effects(model, TASK, ZXY, episodes, queries, episodes, layer=1)
    with pytest.raises(tvl.InputError, match="other inputs"):
        measure_part_effects(model, TASK, ZXY, episodes, queries, queries, layer=1)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(tvl.InputError, match=r"Layer 9 is out of range.*0\.\.3"):
        measure_part_effects(double_model(), TASK, ZXY, *data(), layer=9)
    with pytest.raises(tvl.InputError, match=r"Layer 9 is out of range.*0\.\.3"):
        measure_contributions(double_model(), TASK, ZXY, data()[0], layer=9)


# Results, figures, scripts


@pytest.fixture(scope="module")
def results() -> tuple[Contributions, PartEffects]:
    """Of the model that copies."""
    some = data(Constant(), batch=40)
    model = CopyModel()
    added = measure_contributions(model, Constant(), ZXY, some[0], layer=1)
    return added, measure_part_effects(model, Constant(), ZXY, *some, layer=1)


def test_results_are_saved_and_loaded_identically(results: Any, tmp_path: Path):
    for result in results:
        result.save(tmp_path / "result.nc")
        assert type(result).load(tmp_path / "result.nc").data.identical(result.data)


def test_figures_show_the_numbers(results: Any):
    added, effects = results
    drawn: Any = tvl.plots.plot_contributions({"a": added, "b": added})
    shares = added.shares()
    whole, task = drawn.data[:2]
    np.testing.assert_array_equal(whole.y, shares.estimate.sel(measure="whole"))
    np.testing.assert_array_equal(task.y, shares.estimate.sel(measure="varying"))
    low = np.asarray(task.customdata)[:, 0]
    np.testing.assert_array_equal(low, shares.low.sel(measure="varying"))
    assert list(task.x) == list(added.data.part.values)

    drawn = tvl.plots.plot_part_effects({"a": effects, "b": effects})
    expected = effects.effects().transpose("part", "effect")
    heat = drawn.data[1]
    np.testing.assert_array_equal(heat.z, expected.estimate)
    np.testing.assert_array_equal(np.asarray(heat.customdata)[..., 1].astype(float), expected.high)
    assert list(heat.y) == list(effects.data.part.values)
    assert heat.text[0][0] == "1.00" and heat.text[1][0] == ""
    assert drawn.layout.coloraxis.cmin == -drawn.layout.coloraxis.cmax


@pytest.mark.parametrize("name", ["contributions", "part_effects"])
def test_scripts_analyse_models_that_ship(script: Script, tmp_path: Path, name: str):
    ended = script(f"{name}.py", "offset-tvp", "--episodes", 10, "--examples", 3, "--out", tmp_path)
    assert ended.code == 0, ended.error
    endings = {f"{name}.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings
    assert "offset-tvp" in ended.out


@pytest.mark.parametrize(
    "page", ["attention_map", "contributions", "part_effects", "patch_map", "saliency_map"]
)
def test_the_code_of_the_pages_runs(page: str):
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks(f"docs/analyses/{page}.md"):
        exec(compile(block, page, "exec"), namespace)
    assert "outputs" in namespace or len(namespace["result"].scores()) > 0
