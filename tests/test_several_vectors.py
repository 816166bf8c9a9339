"""Several vectors against prompts written one by one, and models whose vectors are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator, Tensor
from torch.testing import assert_close
from transformer_lens import HookedRootModule

import tvlens as tvl
from tests.planted import planted_model
from tests.planted_triplets import example_of_each_arrow, planted_triplets
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.several_vectors import measure_several_vectors
from tvlens.interventions.injections import Missing, context_answers
from tvlens.interventions.patching import Site, read, write_all
from tvlens.models import HookedTransformer, LinearConfig, LinearTransformer, TransformerConfig
from tvlens.prompts import ARROW, XYZ, ZXY, Episodes, Format, carrier_of
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import SeveralVectors
from tvlens.tasks import LinearRegression, MatrixRegression, fresh_queries, sample_contexts

CONTEXTS, SHOTS, LAYERS = 3, 5, 3
TRIPLET = tvl.prompts.TRIPLET
LINEAR, MATRICES = LinearRegression(d=2), MatrixRegression(d=2)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def double(episodes: Episodes) -> Episodes:
    parts = (episodes.x, episodes.y, episodes.target, episodes.params)
    return Episodes(*(each.double() for each in parts))


def data(task: tvl.Task, functions: int = 8) -> tuple[Episodes, Episodes]:
    """What is asked, and contexts of the same functions."""
    generator = rng()
    contexts = sample_contexts(task, functions, CONTEXTS, SHOTS, generator=generator)
    fresh = fresh_queries(task, contexts, generator=generator)
    return double(fresh[slice(None, None, CONTEXTS)]), double(contexts)


def softmax_model(format: tvl.TokenFormat) -> HookedTransformer:
    config = TransformerConfig(n_layers=LAYERS, d_model=16, n_heads=2, init_std=0.4)
    d_in = format.d_in(LINEAR.d, 1)
    return HookedTransformer(config, d_in, 1, generator=rng(), dtype=torch.float64)


def linear_model() -> LinearTransformer:
    config = LinearConfig(n_layers=LAYERS, init_std=0.4)
    return LinearTransformer(config, 2, TRIPLET, SHOTS - 1, generator=rng(), dtype=torch.float64)


Asked = tuple[HookedRootModule, tvl.Task, Format]


def asked(name: str) -> Asked:
    if name == "triplet":
        return linear_model(), MATRICES, TRIPLET
    format = {"zxy": ZXY, "arrow": ARROW}[name]
    return softmax_model(format), LINEAR, format


each_kind = pytest.mark.parametrize("kind", ["zxy", "arrow", "triplet"])


def measured(kind: str) -> SeveralVectors:
    model, task, format = asked(kind)
    return measure_several_vectors(model, task, format, *data(task))


# The definition


def row(episodes: Episodes, index: int, last: int | None = None) -> Episodes:
    """One episode, with the last so many of its shots."""
    some = slice(index, index + 1)
    start = 0 if last is None else episodes.shots - last
    return Episodes(
        episodes.x[some, start:],
        episodes.y[some, start:],
        episodes.target[some, start:],
        episodes.params[some],
    )


def vectors_of(kind: str, contexts: Episodes, function: int, context: int, site: Site) -> Tensor:
    """The vectors (dummies, format.carrier, d_model) of one context: of one dummy, and of two."""
    model, _, format = asked(kind)
    own = row(contexts, function * CONTEXTS + context)
    following = row(contexts, function * CONTEXTS + (context + 1) % CONTEXTS)
    x = own.x.clone()
    x[:, -1] = following.x[:, -1]
    other = Episodes(x, own.y, own.target, own.params)
    one, two = (read(model, format.context(each), site)[0] for each in (own, other))
    return torch.stack([one, (one + two) / 2])


@each_kind
@torch.no_grad()
def test_every_way_is_what_it_says(kind: str):
    model, task, format = asked(kind)
    episodes, contexts = data(task)
    result = measured(kind).data
    for function, n, layer in [(0, 0, 1), (3, 1, 2), (5, 2, 1), (7, 2, 2)]:
        site = Site(layer, carrier_of(format))
        some = row(episodes, function, n + 1)
        prompt = format.context(some)
        read_at = [vectors_of(kind, contexts, function, each, site) for each in range(CONTEXTS)]
        for index, dummies in enumerate(("one", "two")):
            lasts = [each[index, -1] for each in read_at]
            own = read(model, prompt, site)[0]
            values = {
                "one vector": [*own[:-1], lasts[0]],
                "repeated": [lasts[0]] * (n + 1),
                "several contexts": [*lasts[1 : n + 1], lasts[0]],
                "one context": list(read_at[0][index, -(n + 1) :]),
                "mean vector": [*own[:-1], torch.stack(lasts).mean(0)],
            }
            for way, vectors in values.items():
                outputs = write_all(model, prompt, {site: torch.stack(vectors)[None]})[:, -1]
                error = task.error(outputs, some.target[:, -1])
                cell = {"episode": function, "examples": n}
                found = result.errors.isel(cell).sel(layer=layer, dummies=dummies, way=way)
                assert float(found) == pytest.approx(float(error), rel=1e-5)
        plain = model(prompt.inputs, prompt.position_ids)[:, -1]
        error = task.error(plain, some.target[:, -1])
        assert float(result.in_context[function, n]) == pytest.approx(float(error), rel=1e-5)


@each_kind
def test_without_examples_several_vectors_are_one(kind: str):
    errors = measured(kind).data.errors.sel(examples=0)
    one = errors.sel(way="one vector", drop=True)
    for way in ("repeated", "several contexts", "one context"):
        np.testing.assert_allclose(errors.sel(way=way), one, rtol=1e-6)
    different = abs(errors.sel(way="mean vector") - one)
    assert float(different.max()) > 1e-4


def test_what_was_read_is_written_back_without_effect():
    """Carriers that see no query hold the same in the prompt and in a context of its examples."""
    model, task, format = asked("zxy")
    episodes, contexts = data(task)
    x, y = contexts.x.clone(), contexts.y.clone()
    x[::CONTEXTS, :-1], y[::CONTEXTS, :-1] = episodes.x[:, :-1], episodes.y[:, :-1]
    same = Episodes(x, y, y, contexts.params)
    # As many examples as the contexts have.
    short = Episodes(
        *(each[:, -CONTEXTS:] for each in (same.x, same.y, same.target)), params=same.params
    )
    asking = Episodes(
        *(each[:, -CONTEXTS:] for each in (episodes.x, episodes.y, episodes.target)),
        params=episodes.params,
    )
    result = measure_several_vectors(model, task, format, asking, short).data
    most = result.isel(examples=-1)
    expected = most.in_context.broadcast_like(most.errors.sel(way="one context"))
    np.testing.assert_allclose(most.errors.sel(way="one context"), expected, rtol=1e-6)
    np.testing.assert_allclose(most.errors.sel(way="one vector"), expected, rtol=1e-6)
    other = abs(most.errors.sel(way="several contexts") - expected)
    assert float(other.max()) > 1e-4


# Models whose vectors are known


def test_planted_weights_need_one_vector_and_no_more():
    model = planted_model(3, 1, 3, LINEAR.d)
    episodes, contexts = data(LINEAR, 32)
    result = measure_several_vectors(model, LINEAR, ZXY, episodes, contexts)
    assert float(result.data.errors.max()) < 1e-12
    gains = result.gains().estimate
    among_vectors = [name for name in gains.gain.values if "in context" not in name]
    np.testing.assert_allclose(gains.sel(gain=among_vectors), 0, atol=1e-12)
    scores = result.scores()["estimate"].to_dict()
    assert scores["in context, 0"] > 0.1 > scores["in context, 2"]
    assert max(scores["one vector, 0"], scores["several contexts, 2"]) < 1e-12


def test_vectors_that_are_examples_add_up_to_a_context_of_them():
    n = SHOTS - 1
    model = planted_triplets(example_of_each_arrow(n), MATRICES.d)
    episodes, contexts = data(MATRICES, 16)
    result = measure_several_vectors(model, MATRICES, TRIPLET, episodes, contexts).data.sel(layer=1)
    # The last example of each context is what the last arrow holds.
    per_function = [contexts[slice(c, None, CONTEXTS)] for c in (1, 2, 0)]
    for count in (1, 2):
        some = [*per_function[:count], per_function[2]]
        x = torch.stack([each.x[:, n - 1] for each in some] + [episodes.x[:, -1]], dim=1)
        y = torch.stack([each.y[:, n - 1] for each in some] + [episodes.y[:, -1]], dim=1)
        of_examples = Episodes(x, y, y, episodes.params)
        answers = context_answers(model, of_examples, count + 1, Missing.CUT)
        expected = MATRICES.error(answers, episodes.target[:, -1])
        found = result.errors.sel(examples=count, way="several contexts", dummies="one")
        assert_close(torch.from_numpy(found.values), expected.float(), rtol=1e-5, atol=1e-7)


# What is derived


def made_up(errors: np.ndarray) -> SeveralVectors:
    """A result with these errors (episode, layer) in every cell, and 3 in context."""
    ways = ["one vector", "repeated", "several contexts", "one context", "mean vector"]
    shape = (len(errors), 2, errors.shape[1], 2, len(ways))
    spread = np.broadcast_to(errors[:, None, :, None, None], shape)
    dims = ("episode", "examples", "layer", "dummies", "way")
    coords = {"examples": [0, 1], "layer": range(1, errors.shape[1] + 1)}
    return SeveralVectors(
        xr.Dataset(
            {
                "errors": (dims, spread),
                "in_context": (("episode", "examples"), np.full((len(errors), 2), 3.0)),
            },
            coords=coords | {"dummies": ["one", "two"], "way": ways},
        )
    )


def test_the_layer_is_chosen_on_other_episodes():
    # The first half likes layer 2 best, the second layer 1.
    result = made_up(np.array([[2.0, 1.0]] * 4 + [[0.5, 1.5]] * 4))
    layers = result.layers()
    assert (layers.sel(selection="corrected") == 2).all()
    assert (layers.sel(selection="paper") == 1).all()
    means = result.means().estimate
    written = means.sel(way="one vector")
    np.testing.assert_allclose(written.sel(selection="corrected"), 1.5)
    np.testing.assert_allclose(written.sel(selection="paper"), 0.5)
    np.testing.assert_allclose(means.sel(way="in context"), 3)
    gains = result.gains().estimate
    over_none = gains.sel(gain="one vector - in context", selection="corrected")
    np.testing.assert_allclose(over_none, 1.5)
    np.testing.assert_allclose(gains.sel(gain="several contexts - repeated"), 0)
    scores = result.scores()["estimate"].to_dict()
    assert scores["one vector, 1"] == 1.5
    assert scores["one vector, 1, as the paper selects"] == 0.5


@each_kind
def test_the_papers_choice_is_never_worse(kind: str):
    means = measured(kind).means().estimate
    corrected, paper = (means.sel(selection=each) for each in ("corrected", "paper"))
    assert (paper <= corrected + 1e-9).all()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = measured("arrow").data
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 1)
    xr.testing.assert_allclose(measured("arrow").data, whole, rtol=1e-6)


# What can not be asked


def test_queries_that_are_dummies_are_left_out():
    model, task, format = asked("zxy")
    episodes, contexts = data(task)
    x = episodes.x.clone()
    x[2, -1], x[5, -1] = contexts.x[2 * CONTEXTS + 1, -1], contexts.x[5 * CONTEXTS, -1]
    some = Episodes(x, episodes.y, episodes.target, episodes.params)
    result = measure_several_vectors(model, task, format, some, contexts).data
    kept = [0, 1, 3, 4, 6, 7]
    whole = measured("zxy").data.isel(episode=kept)
    np.testing.assert_allclose(result.errors, whole.errors, rtol=1e-6)
    x[1:, -1] = contexts.x[CONTEXTS::CONTEXTS, -1]
    with pytest.raises(tvl.InputError, match="7 of 8 queries are dummies"):
        measure_several_vectors(model, task, format, some, contexts)


def test_what_does_not_fit_is_refused():
    model, task, format = asked("zxy")
    episodes, contexts = data(task)
    with pytest.raises(tvl.InputError, match="as many contexts for each function"):
        measure_several_vectors(model, task, format, episodes[:7], contexts)
    with pytest.raises(tvl.InputError, match="as many contexts for each function"):
        measure_several_vectors(model, task, format, contexts[:8], contexts)
    with pytest.raises(tvl.InputError, match="0 examples needs 1 tokens 'z'"):
        measure_several_vectors(model, task, XYZ, episodes, contexts)


# Results, figures, scripts


def test_saved_and_drawn(tmp_path: Path):
    result = measured("arrow")
    result.save(tmp_path / "result.nc")
    xr.testing.assert_identical(SeveralVectors.load(tmp_path / "result.nc").data, result.data)
    drawn: Any = tvl.plots.plot_several_vectors({"a": result, "b": result})
    lines = {trace.name: trace for trace in drawn.data if trace.yaxis == "y" and trace.name}
    cell = {"selection": "corrected", "dummies": "one"}
    means = result.means().sel(cell)
    np.testing.assert_allclose(lines["one vector"].y, means.estimate.sel(way="one vector"))
    np.testing.assert_allclose(lines["in context"].y, means.estimate.sel(way="in context"))


def test_the_script_runs_on_a_shipped_model(script: Script, tmp_path: Path) -> None:
    options = ("--episodes", "24", "--examples", "3", "--device", "cpu", "--out", tmp_path)
    ended = script("several_vectors.py", "sinusoid-tvp", *options)
    assert ended.code == 0, ended.error
    assert "several contexts - one vector, 3" in ended.out
    suffixes = {each.suffix for each in tmp_path.iterdir() if each.is_file()}
    assert suffixes == {".html", ".csv", ".nc"}


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/several_vectors.md")
    exec(compile(block, "several_vectors.md", "exec"), {"__name__": "documentation"})
