"""What vectors are unembedded to, against a plain norm and read-out of copied weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator, Tensor
from torch.nn import functional as F

import tvlens as tvl
from tests.readme_example import python_blocks
from tests.running import Script
from tests.wrapped import Bridged, Wrapped
from tvlens.analysis import information_flow, vocabulary
from tvlens.analysis.shared.needs import missing
from tvlens.analysis.vocabulary import measure_vocabulary
from tvlens.prompts import ARROW, TOKEN_FORMATS, ZXY, Episodes, TokenFormat
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import Vocabulary
from tvlens.results.vocabulary import TOP

SYMBOLS, SHOTS, LAYERS = 7, 4, 2
TASK = tvl.TokenOffset(vocabulary=SYMBOLS, held_out_share=0.0)


def data(batch: int = 9) -> tuple[Episodes, Episodes]:
    generator = Generator().manual_seed(3)
    episodes = tvl.sample_episodes(TASK, batch, SHOTS, generator=generator)
    return episodes, tvl.fresh_queries(TASK, episodes, generator=generator)


def random_model(format: TokenFormat, seed: int = 0) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(n_layers=LAYERS, d_model=16, n_heads=2, n_ctx=20, init_std=0.3)
    generator = Generator().manual_seed(seed)
    model = tvl.HookedTransformer(
        config, format.d_in(SYMBOLS, SYMBOLS), SYMBOLS, generator=generator
    )
    with torch.no_grad():  # A norm that does something.
        model.ln_final.weight.normal_(1, 0.3, generator=generator)
        model.ln_final.bias.normal_(0, 0.3, generator=generator)
        model.unembed.bias.normal_(0, 0.3, generator=generator)
    return model


def ask(format: TokenFormat = ZXY, model: Any = None, **changes: Any) -> Vocabulary:
    episodes, queries = data()
    return measure_vocabulary(
        model or random_model(format),
        TASK,
        format,
        changes.get("episodes", episodes),
        queries,
        layer=changes.get("layer", 1),
        untrained=random_model(format, seed=1),
    )


def plain_places(model: tvl.HookedTransformer, vector: Tensor) -> Tensor:
    """Places by a norm and a read-out written out, counted by comparison."""
    centred = vector - vector.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + model.ln_final.eps).sqrt()
    normed = scaled * model.ln_final.weight + model.ln_final.bias
    outputs = torch.einsum("...d,sd->...s", normed, model.unembed.weight) + model.unembed.bias
    return 1 + (outputs[..., None, :] > outputs[..., :, None]).sum(-1)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
@torch.no_grad()
def test_vectors_go_through_the_final_norm_and_the_unembedding(format: TokenFormat):
    model, found = random_model(format), ask(format).data.place
    prompt = format.context(data()[0])
    assert found.dims == ("vector", "episode", "layer", "symbol")
    for layer in range(LAYERS + 1):
        at = found.sel(layer=layer)
        vector = tvl.read(model, prompt, tvl.Site(layer, format.carrier, -1))[:, 0]
        np.testing.assert_array_equal(at.sel(vector="own"), plain_places(model, vector))
        another = plain_places(model, torch.cat([vector[-1:], vector[:-1]]))
        np.testing.assert_array_equal(at.sel(vector="another"), another)
        mean = plain_places(model, vector.mean(0))
        np.testing.assert_array_equal(at.sel(vector="mean"), mean.expand_as(another))
        strange = random_model(format, seed=1)
        vector = tvl.read(strange, prompt, tvl.Site(layer, format.carrier, -1))[:, 0]
        np.testing.assert_array_equal(at.sel(vector="untrained"), plain_places(strange, vector))


@torch.no_grad()
def test_after_the_last_block_an_arrow_stands_for_what_the_model_answers():
    model, (episodes, _) = random_model(ARROW), data()
    prompt = ARROW.context(episodes)
    answers = model(prompt.inputs, prompt.position_ids)[:, -1].argmax(-1)
    last = ask(ARROW).data.place.sel(vector="own", layer=LAYERS)
    np.testing.assert_array_equal(last.argmin("symbol"), answers)


@pytest.mark.parametrize("wrap", [Wrapped, Bridged])
def test_any_model_of_the_protocol_will_do(wrap: Any):
    xr.testing.assert_identical(ask(ARROW, wrap(random_model(ARROW))).data, ask(ARROW).data)


def test_each_symbol_is_of_the_first_sort_that_it_fits():
    episodes, queries = data()
    found = ask().data.is_a
    assert list(found.sort.values) == ["query", "outputs", "answers", "inputs", "neither"]
    for episode in range(episodes.batch):
        x, y, target, fresh = (
            each[episode].argmax(-1).tolist()
            for each in (episodes.x, episodes.y, episodes.target, queries.target)
        )
        sets = [{target[-1]}, set(y[:-1]), set(fresh), set(x)]
        for symbol in range(SYMBOLS):
            fits = [symbol in each for each in sets] + [True]
            expected = np.eye(5)[fits.index(True)]
            np.testing.assert_array_equal(found.sel(episode=episode)[:, symbol], expected)


def test_shares_and_ranks_are_counted_as_by_hand():
    result = ask()
    places, sorts = result.data.place, result.data.is_a
    for top in (1, 3):
        shares = result.shares(top).estimate
        np.testing.assert_allclose(shares.sum("sort"), 1)
        own = [
            [int(sorts.sel(sort="inputs")[e, s]) for s in np.argsort(row)[:top]]
            for e, row in enumerate(places.sel(vector="own", layer=1).values)
        ]
        found = shares.sel(sort="inputs", vector="own", layer=1)
        np.testing.assert_allclose(found, np.mean(own))
    np.testing.assert_allclose(
        result.shares(SYMBOLS).estimate.sel(layer=0, vector="own"), result.chance()
    )
    row = places.sel(vector="own", layer=2).values
    for sort in ("query", "outputs"):
        chosen = sorts.sel(sort=sort).values.astype(bool)
        expected = (1 / row[chosen]).mean()
        found = result.reciprocal_ranks().estimate.sel(sort=sort, vector="own", layer=2)
        np.testing.assert_allclose(found, expected)


def test_a_planted_vocabulary_is_found():
    """Vectors that name the outputs of their context, and only of theirs."""
    result = ask()
    outputs = result.data.is_a.sel(sort="outputs").values
    named = 1 + np.argsort(np.argsort(-outputs + np.linspace(0, 0.5, SYMBOLS), axis=-1), axis=-1)
    planted = result.data.copy()
    planted["place"][{"vector": 0}] = named[:, None]
    planted["place"][{"vector": 1}] = SYMBOLS + 1 - named[:, None]
    scores = Vocabulary(planted).scores().estimate
    count = outputs.sum(-1)
    assert (count <= TOP).all() and count.max() > 1
    np.testing.assert_allclose(scores.outputs, count.mean() / 5)
    np.testing.assert_allclose(scores.outputs_by_chance, count.mean() / SYMBOLS)
    harmonic = sum(sum(1 / place for place in range(1, n + 1)) for n in count)
    np.testing.assert_allclose(scores.rank_outputs, harmonic / count.sum())
    np.testing.assert_allclose(scores.outputs_own_to_it, scores.outputs - scores.outputs_of_another)
    assert scores.outputs_of_another < scores.outputs


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = ask()
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 30)
    xr.testing.assert_identical(ask().data, whole.data)


def test_what_has_no_symbols_is_refused():
    episodes, queries = data()
    model = random_model(ZXY)
    numbers = tvl.sample_episodes(
        tvl.LinearRegression(d=2), 4, SHOTS, generator=Generator().manual_seed(0)
    )
    common = {"layer": 1, "untrained": model}
    with pytest.raises(tvl.InputError, match="LinearRegression are not"):
        measure_vocabulary(model, tvl.LinearRegression(d=2), ZXY, numbers, numbers, **common)
    wider = Episodes(F.pad(episodes.x, (0, 1)), episodes.y, episodes.target, episodes.params)
    with pytest.raises(tvl.InputError, match="of 8 and 7 symbols"):
        measure_vocabulary(model, TASK, ZXY, wider, queries, **common)
    with pytest.raises(tvl.InputError, match=r"Layer 3 is out of range.*0\.\.2"):
        ask(layer=3)
    with pytest.raises(tvl.InputError, match="give at least 2"):
        ask(episodes=episodes[:1])


def test_the_figure_shows_what_the_result_says(tmp_path: Path):
    result = ask()
    result.save(tmp_path / "result.nc")
    assert Vocabulary.load(tmp_path / "result.nc").data.identical(result.data)
    drawn: Any = tvl.plots.plot_vocabulary({"a": result, "b": result})
    lines = {trace.name: trace for trace in drawn.data if trace.name}
    shares = result.shares().estimate
    np.testing.assert_array_equal(lines["neither"].y, shares.sel(sort="neither", vector="own"))
    np.testing.assert_array_equal(
        lines["untrained model"].y, shares.sel(sort="outputs", vector="untrained")
    )


def test_the_script_analyses_models_that_ship(script: Script, tmp_path: Path):
    arguments = ["offset-tvp", "--episodes", 10, "--examples", 3, "--out", tmp_path]
    ended = script("vocabulary.py", *arguments)
    assert ended.code == 0, ended.error
    endings = {f"vocabulary.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings
    ended = script("vocabulary.py", "linear-tvp", "--episodes", 10, "--out", tmp_path)
    assert ended.code == 2 and "this asks about symbols" in ended.error


@pytest.mark.parametrize("name", ["linear-tvp", "offset-tvp", "sinusoid-tvp"])
def test_only_models_of_symbols_are_asked(name: str):
    subject = tvl.load_pretrained(name, device="cpu").subject(episodes=10)
    assert bool(missing(vocabulary, subject)) is (name != "offset-tvp")
    assert not missing(information_flow, subject)


def test_the_code_of_the_page_runs():
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks("docs/analyses/vocabulary.md"):
        exec(compile(block, "vocabulary", "exec"), namespace)
    assert "rank_query" in namespace["result"].scores().index
