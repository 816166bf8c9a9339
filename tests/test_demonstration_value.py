"""What vectors of linear transformers are worth, against planted vectors and transcribed layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
from tests.planted_triplets import (
    example_of_each_arrow,
    gain,
    orthogonal_rows,
    pair,
    planted_triplets,
)
from tests.readme_example import python_blocks
from tests.transcribed import value_and_query
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.interventions.injections import (
    Injection,
    Missing,
    context_answers,
    injected_answers,
    read_vectors,
    with_controls,
)
from tvlens.models import LinearConfig, LinearTransformer
from tvlens.prompts import Episodes
from tvlens.results import DemonstrationValue
from tvlens.tasks import CollinearRegression, MatrixRegression, fresh_queries, sample_episodes

D, N, BATCH = 3, 4, 32
TASK = MatrixRegression(D)
TRIPLET = tvl.prompts.TRIPLET


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def double(episodes: Episodes) -> Episodes:
    parts = (episodes.x, episodes.y, episodes.target, episodes.params)
    return Episodes(*(each.double() for each in parts))


def data(task: tvl.Task = TASK, batch: int = BATCH) -> tuple[Episodes, Episodes]:
    generator = rng()
    episodes = sample_episodes(task, batch, N + 1, generator=generator)
    queries = fresh_queries(task, episodes, generator=generator)
    return double(episodes), double(queries)


def random_model(n_layers: int = 3, seed: int = 0) -> LinearTransformer:
    config = LinearConfig(n_layers=n_layers, init_std=0.4)
    return LinearTransformer(config, D, TRIPLET, N, generator=rng(seed), dtype=torch.float64)


def value(
    models: list[LinearTransformer], task: tvl.Task = TASK, batch: int = BATCH
) -> DemonstrationValue:
    return measure_demonstration_value(models, task, *data(task, batch), generator=rng(1))


# What is read and written, against layers as the paper writes them


def layer_of(model: LinearTransformer, layer: int, Z: Tensor, places: list[int]) -> Tensor:
    """Z + V Z M S / n for tokens at some positions of a whole prompt; the last is not seen."""
    V, Q = value_and_query(model, layer)
    P = torch.eye(3 * N + 3, dtype=Z.dtype)[:, places]
    tokens = torch.cat([Z, P])
    seen = Z.clone()
    seen[:, -1] = 0
    return Z + V @ seen @ (tokens.T @ Q @ tokens) / N


def prompt_of(x: Tensor, y: Tensor) -> Tensor:
    """Columns of examples (x, y) and a query, which is the last x."""
    Z = torch.zeros(2 * D, 3 * len(x), dtype=x.dtype)
    for i in range(len(x)):
        Z[:D, 3 * i] = x[i]
        if i < len(x) - 1:
            Z[D:, 3 * i + 2] = y[i]
    return Z


@pytest.mark.parametrize("number", [1, 3, N + 1])
def test_vectors_go_where_the_papers_code_puts_them(number: int):
    model, (episodes, queries) = random_model(), data()
    vectors = read_vectors(model, episodes, Injection.PAPER, 1)
    found = injected_answers(model, queries.x[:, -1], vectors[:, -number:], Injection.PAPER, 1)
    arrows, everywhere = [3 * i + 1 for i in range(N + 1)], list(range(3 * N + 3))
    updates = []
    for x, y in zip(episodes.x, episodes.y, strict=True):
        Z = prompt_of(x, y)
        Z[:, -3:] = 0
        updates.append((layer_of(model, 0, Z, everywhere) - Z)[:, arrows])
    lengths = torch.stack([each.norm(dim=0) for each in updates]).mean(0)
    expected = []
    for update, query in zip(updates, queries.x[:, -1], strict=True):
        Z = torch.zeros(2 * D, 3 * N + 3, dtype=query.dtype)
        Z[:D, -3] = query
        for arrow in range(N + 1 - number, N + 1):
            Z[:, 3 * arrow + 1] = update[:, arrow] / lengths[arrow]
        for layer in range(3):
            Z = layer_of(model, layer, Z, everywhere)
        expected.append(-Z[D:, -1])
    assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("number", [1, 3, N + 1])
def test_corrected_vectors_are_read_and_written_at_one_layer(number: int, layer: int):
    model, (episodes, queries) = random_model(), data()
    vectors = read_vectors(model, episodes, Injection.CORRECTED, layer)
    found = injected_answers(
        model, queries.x[:, -1], vectors[:, -number:], Injection.CORRECTED, layer
    )
    whole = list(range(3 * N + 3))
    expected = []
    for x, y, query in zip(episodes.x, episodes.y, queries.x[:, -1], strict=True):
        Z, places = prompt_of(x, y), whole[-3 * number :]
        short = torch.zeros(2 * D, 3 * number, dtype=query.dtype)
        short[:D, -3] = query
        for below in range(layer):
            Z = layer_of(model, below, Z, whole)
            short = layer_of(model, below, short, places)
        for arrow in range(number):
            short[:, 3 * arrow + 1] = Z[:, 3 * (N + 1 - number + arrow) + 1]
        for above in range(layer, 3):
            short = layer_of(model, above, short, places)
        expected.append(-short[D:, -1])
    assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("examples", [0, 2, N])
def test_contexts_are_short_or_have_empty_examples(examples: int):
    model, (episodes, queries) = random_model(), data()
    episodes = episodes.asking(queries)
    cut = context_answers(model, episodes, examples, Missing.CUT)
    empty = context_answers(model, episodes, examples, Missing.EMPTY)
    everywhere = list(range(3 * N + 3))
    for row, (x, y) in enumerate(zip(episodes.x, episodes.y, strict=True)):
        short = prompt_of(x[N - examples :], y[N - examples :])
        whole = torch.zeros(2 * D, 3 * N + 3, dtype=x.dtype)
        whole[:, 3 * (N - examples) :] = short
        places = everywhere[-short.shape[1] :]
        for layer in range(3):
            short = layer_of(model, layer, short, places)
            whole = layer_of(model, layer, whole, everywhere)
        assert_close(cut[row], -short[D:, -1], rtol=1e-10, atol=1e-10)
        assert_close(empty[row], -whole[D:, -1], rtol=1e-10, atol=1e-10)
    if examples == N:
        assert_close(cut, empty)


def test_controls_are_other_functions_lengths_and_nothing():
    vectors = torch.randn(5, 3, 4, generator=rng(), dtype=torch.float64)
    own, other, random, zero = with_controls(vectors, generator=rng(1))
    assert torch.equal(own, vectors)
    assert torch.equal(other[:-1], vectors[1:]) and torch.equal(other[-1], vectors[0])
    assert_close(random.norm(dim=-1), vectors.norm(dim=-1))
    assert not zero.any()


# Planted vectors


def test_a_planted_vector_answers_by_its_closed_form():
    """(a2 Y beta) (a1 X beta)^T x, and all of them together are in-context learning."""
    M = orthogonal_rows(N)
    model, (episodes, queries) = planted_triplets(M, D), data()
    vectors = read_vectors(model, episodes, Injection.CORRECTED, 1)
    a1, a2 = pair(N)
    X, Y, x = episodes.x[:, :N].mT, episodes.y[:, :N].mT, queries.x[:, -1, :, None]
    full = context_answers(model, episodes.asking(queries), N, Missing.CUT)
    assert_close(vectors, torch.cat([a1 * (X @ M).mT, a2 * (Y @ M).mT], dim=-1))
    for number in range(1, N + 2):
        beta = M[:, -number:]
        W = gain(N) * a1 * a2 * Y @ beta @ beta.T @ X.mT
        found = injected_answers(model, x[..., 0], vectors[:, -number:], Injection.CORRECTED, 1)
        assert_close(found, (W @ x)[..., 0])
        if number == N + 1:
            assert_close(found, full)
    scaled = read_vectors(model, episodes, Injection.PAPER, 1)
    lengths = vectors.norm(dim=-1).mean(0)
    one = injected_answers(model, x[..., 0], scaled[:, -1:], Injection.PAPER, 1)
    plain = injected_answers(model, x[..., 0], vectors[:, -1:], Injection.CORRECTED, 1)
    assert_close(one, plain / lengths[-1] ** 2)


def test_a_vector_that_is_one_example_is_worth_one_example():
    result = value([planted_triplets(example_of_each_arrow(N), D)] * 2, batch=1024)
    data = result.data.sel(injection="corrected", source="own")
    for missing in ("cut", "empty"):
        context = data.context.sel(missing=missing)
        for number in range(1, N + 1):
            one, other = data.vectors.sel(number=number), context.sel(examples=number)
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    worth = result.worth().sel(injection="corrected", source="own", metric="direction")
    for bound in ("estimate", "low", "high"):
        expected = np.broadcast_to([1, 2, 3, 4, 4], worth[bound].shape)
        np.testing.assert_allclose(worth[bound], expected, atol=1e-6)
    by_seed = result.worth_by_seed().sel(injection="corrected", source="own", metric="direction")
    np.testing.assert_allclose(by_seed.isel(seed=0), by_seed.isel(seed=1))


def test_without_vectors_nothing_is_known():
    result = value([random_model(2)])
    zero = result.data.vectors.sel(source="zero", number=1, injection="corrected")
    none = result.data.context.sel(examples=0, missing="cut")
    np.testing.assert_allclose(zero.sel(metric="direction"), 2)
    np.testing.assert_allclose(none.sel(metric="direction"), 2)
    np.testing.assert_allclose(zero.sel(metric="error"), none.sel(metric="error"))
    length = double(data()[1]).target[:, -1].square().sum(-1) / TASK.scale
    np.testing.assert_allclose(zero.sel(metric="error", seed=0), length)


def test_on_one_line_the_direction_is_four_times_the_wrong_signs():
    """As the paper's figure 4c measures: 2 - 2 cos, which can only be 0 or 4 there."""
    task, model = CollinearRegression(D), random_model(2)
    episodes, queries = data(task, 256)
    result = measure_demonstration_value([model], task, episodes, queries, generator=rng(1))
    asked = episodes.asking(queries)
    means = result.context_errors().estimate.sel(selection="all seeds", missing="cut")
    for examples in range(1, N + 1):
        answers = context_answers(model, asked, examples, Missing.CUT)
        wrong = (answers * asked.target[:, -1]).sum(-1) < 0
        assert 0 < wrong.double().mean() < 1
        cell = {"examples": examples, "metric": "direction"}
        found = result.data.context.sel(missing="cut").sel(cell)
        np.testing.assert_allclose(found.isel(seed=0), 4 * wrong.numpy(), atol=1e-6)
        np.testing.assert_allclose(means.sel(cell), 4 * wrong.double().mean())


# What is derived


def made_up(context: list[float], vectors: list[float]) -> DemonstrationValue:
    """A result whose errors are the same for all seeds and episodes."""
    shape = (1, 3, 8)
    rows = np.broadcast_to(np.array(context), (*shape, 1, len(context)))
    cells = np.broadcast_to(np.array(vectors), (*shape, 1, 1, len(vectors)))
    dims = ("metric", "seed", "episode")
    coords = {"metric": ["error"], "missing": ["cut"], "injection": ["corrected"]}
    coords |= {"source": ["own"], "examples": range(len(context))}
    return DemonstrationValue(
        xr.Dataset(
            {
                "context": ((*dims, "missing", "examples"), rows),
                "vectors": ((*dims, "injection", "source", "number"), cells),
            },
            coords=coords | {"number": range(1, len(vectors) + 1)},
        )
    )


def test_worth_is_a_place_between_examples():
    worth = made_up([1.0, 0.6, 0.8, 0.2], [1.1, 1.0, 0.7, 0.6, 0.4, 0.2, 0.1]).worth()
    # The third example does no harm, at best: between 1 and 2 the line is level.
    expected = [0, 0, 0.75, 1, 2.5, 3, 3]
    np.testing.assert_allclose(worth.estimate.values.ravel(), expected)
    np.testing.assert_allclose(worth.high.values.ravel(), expected)


def test_the_best_seed_is_better_than_seeds_are():
    result = value([random_model(2, seed) for seed in range(3)], batch=64)
    for errors, name in ((result.context_errors(), "context"), (result.vector_errors(), "vectors")):
        means = result.data[name].mean("episode")
        best = errors.sel(selection="best seed", drop=True).estimate
        xr.testing.assert_allclose(best, means.min("seed").transpose(*best.dims))
        every = errors.sel(selection="all seeds", drop=True).estimate
        assert bool((best <= every + 1e-12).all())
        assert bool((errors.low <= errors.high).all())


def test_scores_tell_what_the_arrays_hold():
    result = value([random_model(2, seed) for seed in range(2)])
    scores = result.scores()["estimate"].to_dict()
    means = result.data.mean(["seed", "episode"])
    of = means.vectors.sel(metric="direction", injection="paper", number=1)
    assert scores["direction, paper"] == pytest.approx(float(of.sel(source="own")))
    assert scores["direction, paper random"] == pytest.approx(float(of.sel(source="random")))
    context = means.context.sel(metric="error", missing="cut")
    assert scores["icl"] == pytest.approx(float(context.sel(examples=N)))
    assert scores["one example"] == pytest.approx(float(context.sel(examples=1)))


def test_models_of_several_kinds_and_other_episodes_are_refused():
    episodes, queries = data()
    with pytest.raises(tvl.InputError, match="one format, length and depth"):
        measure_demonstration_value(
            [random_model(2), random_model(3)], TASK, episodes, queries, generator=rng()
        )
    short = Episodes(episodes.x[:, 1:], episodes.y[:, 1:], episodes.target[:, 1:], episodes.params)
    with pytest.raises(tvl.InputError, match="Expected episodes of 5 shots"):
        measure_demonstration_value([random_model()], TASK, short, queries, generator=rng())
    with pytest.raises(tvl.InputError, match=r"take one between two blocks, 1\.\.2"):
        measure_demonstration_value(
            [random_model()], TASK, episodes, queries, generator=rng(), layer=3
        )
    vectors = torch.zeros(BATCH, N + 2, 2 * D, dtype=torch.float64)
    with pytest.raises(tvl.InputError, match="has 5 arrows, got 6 vectors"):
        injected_answers(random_model(), queries.x[:, -1], vectors, Injection.CORRECTED, 1)


def test_saved_and_drawn(tmp_path: Path):
    result = value([random_model(2, seed) for seed in range(2)])
    result.save(tmp_path / "result.nc")
    again = DemonstrationValue.load(tmp_path / "result.nc")
    xr.testing.assert_identical(again.data, result.data)
    drawn: Any = tvl.plots.plot_demonstration_value({"a": result, "b": result})
    lines = {trace.name: trace for trace in drawn.data if trace.customdata is not None}
    means = result.context_errors().sel(selection="all seeds", missing="cut", metric="error")
    np.testing.assert_allclose(lines["examples"].y, means.estimate)
    worth = result.worth().sel(
        metric="direction", missing="cut", source="own", injection="corrected"
    )
    np.testing.assert_allclose(lines["vectors"].y, worth.estimate)


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/demonstration_value.md")
    exec(compile(block, "demonstration_value.md", "exec"), {"__name__": "documentation"})
