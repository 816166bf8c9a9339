"""Pruned inference against a plain transformer with masked attention, closed forms and a planted
model, for which the right answers are known.
"""

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from answers import Request
from einops import einsum, rearrange
from scaling import count_flops
from torch import Tensor
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint

import tvlens as tvl
from tests.planted import planted_model
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.pruning import measure_pruning
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.interventions import pruned_answers
from tvlens.interventions.residual_stream import residual_stream
from tvlens.models import Positions
from tvlens.prompts import TOKEN_FORMATS, XY, Prompt
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import Pruning, cached_tokens

TASK = tvl.LinearRegression(d=2)
LAYERS, LEARN, ANSWER = 5, 2, 4
SHOTS = 5
FORMATS = pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
POSITIONS = pytest.mark.parametrize("positions", Positions, ids=lambda each: each.value)


def small_model(
    format: tvl.TokenFormat,
    positions: Positions = Positions.ROTARY,
    n_layers: int = 3,
    d_model: int = 16,
) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(
        n_layers, d_model, n_heads=2, n_ctx=14, positions=positions, init_std=0.4
    )
    return tvl.Experiment(TASK, format, config).build_model(device="cpu")


def sample(batch: int = 16, shots: int = SHOTS) -> tuple[tvl.Episodes, tvl.Episodes]:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(TASK, batch, shots, generator=generator)
    return episodes, tvl.fresh_queries(TASK, episodes, generator=generator)


def plain_outputs(model: tvl.HookedTransformer, prompt: Prompt, visible: Tensor) -> Tensor:
    """All outputs of a plain transformer with the same weights.

    Args:
        visible: "layer position position"; which positions each attends to in each block.
    """
    weights = model.state_dict()
    stream = prompt.inputs @ weights["W_E"]
    if "W_pos" in weights:
        stream = stream + weights["W_pos"][prompt.position_ids]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def affine(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def rotated(x: Tensor) -> Tensor:
        if model.config.positions is not Positions.ROTARY:
            return x
        first, second = x.chunk(2, dim=-1)
        half = first.shape[-1]
        angles = torch.stack([prompt.position_ids / 10000 ** (i / half) for i in range(half)], -1)
        turn = torch.polar(torch.ones_like(angles), angles)[:, None]
        turned = torch.complex(first.contiguous(), second.contiguous()) * turn
        return torch.cat([turned.real, turned.imag], dim=-1)

    for layer, seen in enumerate(visible):
        block = f"blocks.{layer}"
        qkv = affine(f"{block}.attn.qkv", norm(f"{block}.ln1", stream))
        q, k, v = rearrange(
            qkv, "b p (what head d) -> what b head p d", what=3, head=model.config.n_heads
        )
        scores = einsum(rotated(q), rotated(k), "b h q d, b h k d -> b h q k")
        scores = (scores / math.sqrt(q.shape[-1])).masked_fill(~seen, -torch.inf)
        mixed = einsum(scores.softmax(-1), v, "b h q k, b h k d -> b h q d")
        stream = stream + affine(f"{block}.attn.out", rearrange(mixed, "b h q d -> b q (h d)"))
        hidden = affine(f"{block}.mlp.fc", norm(f"{block}.ln2", stream))
        hidden = F.gelu(hidden, approximate="tanh")
        stream = stream + affine(f"{block}.mlp.out", hidden)
    return affine("unembed", norm("ln_final", stream))


def pruned_mask(n_layers: int, layer: int, tokens: int, kept: int) -> Tensor:
    """Causal; above the layer, earlier tokens can not be seen."""
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril().repeat(n_layers, 1, 1)
    mask[layer:, -kept:, :-kept] = False
    return mask


def evicted_mask(format: tvl.TokenFormat, n_layers: int, layer: int, tokens: int) -> Tensor:
    """The same, but a carrier that does not answer goes on to see everything."""
    mask = pruned_mask(n_layers, layer, tokens, len(format.query))
    if format.carrier is not format.answer:
        carrier = tokens - len(format.query) + format.query.index(format.carrier)
        mask[:, carrier, : carrier + 1] = True
    return mask


# The answers.


@FORMATS
@POSITIONS
def test_three_ways_to_prune_agree(format: tvl.TokenFormat, positions: Positions) -> None:
    model, (episodes, queries) = small_model(format, positions), sample()
    tokens, kept = format.n_tokens(SHOTS), len(format.query)
    prompt = format.context(episodes)
    result = measure_pruning(model, TASK, format, episodes, queries).data
    errors = []
    for layer in range(model.n_layers + 1):
        plain = plain_outputs(model, prompt, pruned_mask(model.n_layers, layer, tokens, kept))
        fast = pruned_answers(model, prompt, layer, kept)
        torch.testing.assert_close(fast, plain[:, -1], atol=1e-5, rtol=1e-5)
        error = TASK.error(plain[:, -1], episodes.target[:, -1]).detach()
        np.testing.assert_allclose(
            result.pruned.sel(layer=layer).isel(examples=-1), error, atol=1e-5, rtol=1e-4
        )
        mask = evicted_mask(format, model.n_layers, layer, tokens)
        evicted = plain_outputs(model, prompt, mask)[:, -1]
        error_evicted = TASK.error(evicted, episodes.target[:, -1]).detach()
        np.testing.assert_allclose(
            result.evicted.sel(layer=layer).isel(examples=-1), error_evicted, atol=1e-5, rtol=1e-4
        )
        errors.append(error)
    # The layers differ, so the agreement says something.
    for first, second in itertools.pairwise(errors):
        assert float((first - second).abs().max()) > 1e-3


@FORMATS
def test_every_length_is_that_of_a_context_of_its_own(format: tvl.TokenFormat) -> None:
    model, (episodes, queries) = small_model(format), sample()
    data = measure_pruning(model, TASK, format, episodes, queries).data
    assert data.examples.values.tolist() == list(range(format.first_length(format.carrier), SHOTS))
    for n in data.examples.values.tolist():
        shorter = tvl.Episodes(
            episodes.x[:, : n + 1],
            episodes.y[:, : n + 1],
            episodes.target[:, : n + 1],
            episodes.params,
        )
        prompt = format.context(shorter)
        assert int(data.tokens.sel(examples=n)) == len(prompt.roles)
        for layer in data.layer.values.tolist():
            answers = pruned_answers(model, prompt, layer, len(format.query))
            expected = TASK.error(answers, shorter.target[:, -1]).detach()
            got = data.pruned.sel(layer=layer, examples=n)
            np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-4)


@FORMATS
@torch.inference_mode()
def test_nothing_dropped_is_full_inference_and_everything_dropped_a_zero_shot_prompt(
    format: tvl.TokenFormat,
) -> None:
    model, (episodes, queries) = small_model(format), sample()
    prompt, kept = format.context(episodes), len(format.query)
    data = measure_pruning(model, TASK, format, episodes, queries).data
    np.testing.assert_array_equal(data.pruned.sel(layer=model.n_layers), data.icl)
    np.testing.assert_array_equal(data.evicted.sel(layer=model.n_layers), data.icl)
    lengths = torch.arange(format.first_length(format.carrier), SHOTS)[None]
    alone = format.zero_shot(episodes, lengths, tvl.PositionIds.KEEP)
    answers = residual_stream(model, alone).answer()
    answers = rearrange(answers, "(episode n) d -> episode n d", n=lengths.shape[1])
    zero_shot = TASK.error(
        answers, episodes.target[:, format.first_length(format.carrier) :]
    ).detach()
    np.testing.assert_allclose(data.pruned.sel(layer=0), zero_shot, rtol=1e-4, atol=1e-6)

    with torch.inference_mode():
        whole = model(prompt.inputs, prompt.position_ids, only=slice(-kept, None))[:, -1]
        torch.testing.assert_close(
            pruned_answers(model, prompt, model.n_layers, kept),
            whole,
            rtol=0,
            atol=1e-6,
        )
        end = slice(-kept, None)
        none = model(prompt.inputs[:, end], prompt.position_ids[:, end], only=slice(-1, None))[:, 0]
        torch.testing.assert_close(pruned_answers(model, prompt, 0, kept), none, rtol=0, atol=1e-6)
        # With all tokens kept nothing is dropped, whatever the layer.
        for layer in range(model.n_layers + 1):
            answers = pruned_answers(model, prompt, layer, len(prompt.roles))
            torch.testing.assert_close(answers, whole, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_dropped_tokens_change_nothing_above_the_layer_and_much_below() -> None:
    model, (episodes, queries) = small_model(tvl.ZXY), sample()
    prompt = tvl.ZXY.context(episodes)
    other = tvl.ZXY.context(tvl.Episodes(queries.x, queries.y, queries.target, queries.params))
    inputs = torch.cat([other.inputs[:, :-2], prompt.inputs[:, -2:]], dim=1)
    changed = replace(prompt, inputs=inputs)
    first, second = (pruned_answers(model, each, 0, 2) for each in (prompt, changed))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    first, second = (pruned_answers(model, each, 1, 2) for each in (prompt, changed))
    assert float((first - second).abs().max()) > 1e-3


@FORMATS
def test_evicted_is_the_window_of_the_locality_map(format: tvl.TokenFormat) -> None:
    model, (episodes, queries) = small_model(format), sample()
    data = measure_pruning(model, TASK, format, episodes, queries).data
    generator = torch.Generator().manual_seed(0)
    mapped = measure_locality_map(
        model, TASK, format, episodes, queries, untrained=model, generator=generator
    ).data
    np.testing.assert_allclose(data.evicted.isel(examples=-1), mapped.window, rtol=1e-4, atol=1e-6)
    carrier = mapped.tvp.sel(role=format.carrier.value, examples=data.examples)
    np.testing.assert_allclose(data.tvp, carrier, rtol=1e-4, atol=1e-6)
    for name in ("icl", "zero_shot", "oracle"):
        expected = mapped[name].sel(examples=data.examples)
        np.testing.assert_allclose(data[name], expected, rtol=1e-4, atol=1e-6)
    if format.carrier is format.answer:
        np.testing.assert_array_equal(data.evicted, data.pruned)


# A planted model.


@pytest.fixture(scope="module")
def planted() -> Pruning:
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    return measure_pruning(model, TASK, tvl.ZXY, *sample(batch=256))


def test_pruning_costs_nothing_from_the_layer_on_where_the_task_is_learned(
    planted: Pruning,
) -> None:
    data = planted.data.isel(examples=-1)
    for layer in data.layer.values:
        expected = (
            data.icl
            if layer >= LEARN
            else TASK.error(torch.zeros(256, 1), sample(batch=256)[0].target[:, -1])
        )
        np.testing.assert_array_equal(data.pruned.sel(layer=layer), expected)
    # The carrier learns the weights above any layer, if it may go on to see the context.
    for layer in data.layer.values:
        np.testing.assert_array_equal(data.evicted.sel(layer=layer), data.icl)


def test_scores_of_the_planted_model(planted: Pruning) -> None:
    scores = planted.scores()
    for layer in range(1, LAYERS):
        kept = scores.loc[f"kept_{layer}"].to_numpy(dtype=float)
        np.testing.assert_allclose(kept, float(layer >= LEARN), atol=1e-6)
    tokens = 3 * (SHOTS - 1) + 2
    share = (LEARN * tokens + (LAYERS - LEARN) * 2) / (LAYERS * tokens)
    np.testing.assert_array_equal(scores.loc["free_layer"], LEARN)
    np.testing.assert_allclose(scores.loc["free_cache"], share)
    np.testing.assert_array_equal(scores.loc["evicted_free_layer"], 0)
    np.testing.assert_allclose(scores.loc["evicted_free_cache"], 2 / tokens)
    kept = planted.kept().estimate
    assert bool(kept.sel(examples=0).isnull().all())
    holds = [float(LEARN <= layer < ANSWER) for layer in range(LAYERS + 1)]
    np.testing.assert_allclose(kept.sel(way="tvp", examples=4), holds, atol=1e-6)


# What the scores say of errors that are known.


def with_errors(pruned: np.ndarray, icl: float = 0.2, zero_shot: float = 1.0) -> Pruning:
    """A result of one context length whose errors are the same in all but a little noise."""
    noise = np.random.default_rng(0).normal(0, 1e-6, (40, 1))
    errors = (pruned[None] + noise)[..., None]
    variables = {
        **dict.fromkeys(("pruned", "evicted", "tvp"), (("episode", "layer", "examples"), errors)),
        **{
            name: (("episode", "examples"), np.full((40, 1), value) + noise)
            for name, value in (("icl", icl), ("zero_shot", zero_shot), ("oracle", 0.0))
        },
    }
    coords = {"layer": range(len(pruned)), "examples": [6], "tokens": ("examples", [20])}
    return Pruning(xr.Dataset(variables, coords, {"kept": 2}))


def test_the_free_layer_is_the_lowest_that_is_followed_by_free_ones_only() -> None:
    # Shares 0, 1, 0.5, 0.96, 1: layer 1 is free by itself and layer 2 above it is not.
    scores = with_errors(np.array([1.0, 0.2, 0.6, 0.232, 0.2])).scores()
    np.testing.assert_allclose(
        [scores.loc[f"kept_{layer}", "estimate"] for layer in (1, 2, 3)], [1, 0.5, 0.96], atol=1e-5
    )
    np.testing.assert_array_equal(scores.loc["free_layer"], 3)
    np.testing.assert_allclose(scores.loc["free_cache"], (3 * 20 + 2) / 80)
    assert with_errors(np.array([1.0, 0.5, 0.2])).scores().loc["free_layer", "estimate"] == 2


def test_shares_are_empty_where_the_context_gives_nothing() -> None:
    result = with_errors(np.array([1.0, 1.0, 1.0]), icl=1.0)
    assert bool(result.kept().to_array().isnull().all())
    rows = ["kept_1", "free_layer", "free_cache", "evicted_free_layer", "evicted_free_cache"]
    assert bool(result.scores().loc[rows].isna().all(axis=None))


# What it costs.


@pytest.mark.parametrize("format", [tvl.ZXY, XY], ids=lambda each: each.name)
def test_keys_and_values_that_are_computed_are_those_of_the_formula(
    format: tvl.TokenFormat,
) -> None:
    model, (episodes, queries) = small_model(format), sample(batch=1)
    prompt, kept = format.context(episodes), len(format.query)
    result = measure_pruning(model, TASK, format, episodes, queries)
    tokens = format.n_tokens(SHOTS)
    for layer in range(model.n_layers + 1):
        numbers = 0

        def count(tensor: Tensor, hook: HookPoint) -> None:
            nonlocal numbers
            numbers += tensor.numel()

        hooks: list[Any] = [
            (f"blocks.{block}.attn.hook_{name}", count)
            for block in range(model.n_layers)
            for name in "kv"
        ]
        with model.hooks(fwd_hooks=hooks):
            pruned_answers(model, prompt, layer, kept)
        closed = 2 * (layer * tokens + (model.n_layers - layer) * kept) * model.config.d_model
        assert numbers == closed
        assert closed == 2 * model.config.d_model * cached_tokens(3, layer, tokens, kept)
        share = result.cache().sel(layer=layer).isel(examples=-1)
        assert float(share) == pytest.approx(closed / (2 * 3 * tokens * model.config.d_model))


@pytest.mark.parametrize("layer", range(5))
def test_a_pruned_pass_computes_what_it_must_and_nothing_else(layer: int) -> None:
    d, n_layers, kept, shots = 32, 4, 2, 20
    model = small_model(tvl.ZXY, n_layers=n_layers, d_model=d)
    prompt = tvl.ZXY.context(sample(batch=1, shots=shots)[0])
    tokens, d_in = prompt.inputs.shape[1:]

    def block(keys: int, queries: int) -> int:
        """Keys and values of all; queries, what heads write, the MLP and attention of some."""
        return 4 * d**2 * keys + 20 * d**2 * queries + 4 * d * keys * queries

    seen = [(tokens, tokens)] * layer + [(kept, kept)] * (n_layers - layer)
    if layer < n_layers:
        seen[-1] = (kept, 1)
    if layer:
        seen[layer - 1] = (tokens, kept)
    flops = 2 * d_in * d * tokens + sum(block(*each) for each in seen) + 2 * d * model.d_out
    assert count_flops(lambda: pruned_answers(model, prompt, layer, kept)) == flops


# What does not work, files, figures, the script.


def test_what_can_not_be_pruned_is_refused_with_a_remedy() -> None:
    model, (episodes, queries) = small_model(tvl.ZXY), sample(batch=2)
    prompt = tvl.ZXY.context(episodes)
    for layer in (-1, 4):
        with pytest.raises(tvl.InputError, match=r"boundaries 0\.\.3"):
            pruned_answers(model, prompt, layer, 2)
    for kept in (0, 15):
        with pytest.raises(tvl.InputError, match=f"last {kept} of 14 tokens; give 1 to 14"):
            pruned_answers(model, prompt, 1, kept)
    planted = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    with pytest.raises(tvl.InputError, match="got PlantedModel"):
        pruned_answers(planted, prompt, 1, 2)
    learned = small_model(tvl.ZXY, Positions.LEARNED)
    episodes, queries = sample(batch=2, shots=SHOTS + 1)
    with pytest.raises(tvl.InputError, match="17 tokens, this model's position table holds 14"):
        pruned_answers(learned, tvl.ZXY.context(episodes), 0, 2)
    with pytest.raises(tvl.InputError, match="17 tokens, this model's position table holds 14"):
        measure_pruning(learned, TASK, tvl.ZXY, episodes, queries)


def test_a_saved_result_is_reloaded_identically(planted: Pruning, tmp_path) -> None:
    planted.save(tmp_path / "pruning.nc")
    assert Pruning.load(tmp_path / "pruning.nc").data.identical(planted.data)


def test_chunks_do_not_change_the_result(planted: Pruning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 2000)
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    again = measure_pruning(model, TASK, tvl.ZXY, *sample(batch=256))
    xr.testing.assert_allclose(again.data, planted.data, rtol=1e-6)


def test_figures_show_the_numbers_of_the_results(planted: Pruning) -> None:
    figure: Any = tvl.plots.plot_pruning({"one": planted, "two": planted})
    kept = planted.kept().isel(examples=-1)
    for way, name in (("pruned", "dropped while reading"), ("evicted", "dropped after reading")):
        lines = [trace for trace in figure.data if trace.name == name]
        assert [line.xaxis for line in lines] == ["x", "x2"]
        for line in lines:
            np.testing.assert_array_equal(line.y, kept.estimate.sel(way=way))
            np.testing.assert_array_equal(line.customdata[:, 0], kept.low.sel(way=way))
            errors = planted.data[way].isel(examples=-1).mean("episode")
            np.testing.assert_allclose(line.customdata[:, 2], errors, rtol=1e-6)
    share = round(100 * (2 * 14 + 3 * 2) / (5 * 14))
    assert figure.layout.xaxis.ticktext[2] == f"2<br>{share}%"
    assert planted._repr_html_()

    curves: Any = tvl.plots.plot_pruning_curve(planted)
    (line,) = (trace for trace in curves.data if trace.name == "pruned above 1")
    mean = planted.data.pruned.sel(layer=1).mean("episode")
    np.testing.assert_allclose(line.y, mean, rtol=1e-6)
    assert curves.layout.xaxis.type is None  # Linear: the context is short.


def test_the_script_prunes_a_shipped_model(script: Script, tmp_path) -> None:
    asked = ("sinusoid-tvp", "--episodes", 16, "--device", "cpu", "--out", tmp_path)
    ended = script("pruning.py", *asked)
    assert ended.code == 0
    assert "free_cache" in ended.out
    (result,) = tvl.results.load_results(Pruning, tmp_path / "pruning.nc").values()
    assert result.scores().loc["kept_2", "estimate"] > 0.95
    assert script("pruning.py", "--replot", tmp_path / "pruning.nc", "--out", tmp_path).code == 0


def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks("docs/analyses/pruning.md"):
        exec(compile(block, "pruning.md", "exec"), namespace)
    subject = namespace["subject"]
    errors = subject.task.error(namespace["answers"], subject.episodes.target[:, -1])
    pruned = namespace["result"].data.pruned.sel(layer=2).isel(examples=-1)
    np.testing.assert_allclose(pruned, errors.detach().cpu(), rtol=1e-3, atol=1e-5)


# The benchmark.


@pytest.mark.parametrize("layer", [1, None])
def test_an_answer_holds_the_keys_and_values_that_are_said(layer: int | None) -> None:
    request = Request(n_layers=3, d_model=16, examples=4, batch=2)
    held = request.cached_answer(layer, torch.device("cpu"))()
    assert sum(each.nbytes for each in held) == request.cache_bytes(layer or 3)
    assert sum(each.untyped_storage().nbytes() for each in held) == request.cache_bytes(layer or 3)
    # One table of keys and one of values for each token: 4 bytes, 3 blocks or 1 and 2 short ones.
    pairs = 3 * 14 if layer is None else 14 + 2 * 2
    assert request.cache_bytes(layer or 3) == 4 * 2 * 2 * 16 * pairs


def test_the_benchmark_measures_every_layer_of_every_length(script: Script, tmp_path) -> None:
    size = ("--layers", 3, "--d-model", 16, "--examples", 2, 5, "--tokens", 20, "--rounds", 2)
    ended = script("benchmarks/pruned_inference.py", *size, "--no-memory", "--out", tmp_path)
    assert ended.code == 0
    costs = json.loads((tmp_path / "pruning.json").read_text())["costs"]
    asked = [(row["examples"], row["batch"], row["layer"]) for row in costs]
    assert asked == [(n, batch, layer) for n, batch in ((2, 2), (5, 1)) for layer in (1, 2, 3)]
    for row in costs:
        if row["layer"] == 3:
            assert row["ratio_min"] == row["ratio_max"] == row["flops_ratio"] == 1
        assert row["seconds_min"] <= row["seconds_median"] <= row["seconds_max"]
        assert row["cache_MB"] == 1e-6 * Request(3, 16, row["examples"], row["batch"]).cache_bytes(
            row["layer"]
        )
    assert "plotly" in (tmp_path / "pruning.html").read_text()
    ended = script(
        "benchmarks/pruned_inference.py", "--layers", 3, "--rounds", 1, "--out", tmp_path
    )
    assert ended.code == 2
    assert ended.error.startswith("error: Give as many widths (--d-model) as --layers")


def test_the_memory_of_an_answer_is_printed(script: Script) -> None:
    ended = script("benchmarks/answer_memory.py", "--d-model", 16, "--examples", 300, "--layer", 2)
    without, held = json.loads(ended.out)
    assert held >= without >= 0
