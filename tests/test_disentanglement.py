"""Disentanglement against planted models, for which all of it is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import LinearRegression as LeastSquares
from transformer_lens import HookedRootModule

import tvlens as tvl
from tests.planted import planted_model
from tests.planted_arrow import PlantedArrowModel
from tests.planted_entangled import entangled_model
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.disentanglement import measure_disentanglement
from tvlens.analysis.shared.leakage import leakage
from tvlens.interventions.vectors import read_task_vectors
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import Disentanglement, TaskVectors

TASK = tvl.LinearRegression(d=2)
LAYERS, LEARN, ANSWER, LEAK = 4, 1, 3, 0.5
HOLDS = list(range(LEARN, ANSWER))


def disentangle(
    model: HookedRootModule,
    format: tvl.TokenFormat = tvl.ZXY,
    functions: int = 48,
    contexts: int = 4,
    shots: int = 5,
    task: tvl.Task = TASK,
) -> tuple[Disentanglement, tvl.Episodes, tvl.Episodes]:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_contexts(task, functions, contexts, shots, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    vectors = read_task_vectors(model, task, format, episodes)
    result = measure_disentanglement(
        model, task, format, episodes, queries, vectors, layer=1, generator=generator
    )
    return result, episodes, queries


@pytest.fixture(scope="module")
def planted() -> Disentanglement:
    return disentangle(planted_model(LAYERS, LEARN, ANSWER, TASK.d), functions=150)[0]


@pytest.fixture(scope="module")
def entangled() -> tuple[Disentanglement, tvl.Episodes, tvl.Episodes]:
    return disentangle(entangled_model(LAYERS, LEARN, ANSWER, TASK.d, LEAK), functions=100)


def by_function(order: Disentanglement, episodes: tvl.Episodes, contexts: int) -> np.ndarray:
    """In what order functions stand in a result, as indices of those that were drawn."""
    params = episodes.params[::contexts].numpy()
    order_of = np.unique(params, axis=0, return_inverse=True)[1].reshape(-1)
    assert len(order_of) == order.data.sizes["function"]
    return np.argsort(order_of)


# What a perfect vector scores


def test_the_exact_vector_gains_nothing_by_averaging(planted: Disentanglement) -> None:
    recovered = planted.recovery().estimate
    np.testing.assert_allclose(recovered.sel(layer=HOLDS), 1, atol=1e-6)
    np.testing.assert_allclose(recovered.drop_sel(layer=HOLDS), 0, atol=1e-12)
    gain = planted.averaging_gain()
    for bound in ("estimate", "low", "high"):
        np.testing.assert_allclose(gain[bound], 0, atol=1e-6)


def test_the_exact_vector_does_not_vary_over_contexts(planted: Disentanglement) -> None:
    variance = planted.context_variance().sel(layer=HOLDS)
    for bound in ("estimate", "low", "high"):
        np.testing.assert_allclose(variance[bound], 0, atol=1e-9)
    assert float(planted.data.disagreement.sel(layer=HOLDS).max()) < 1e-9


def test_nothing_can_be_read_off_the_exact_vector(planted: Disentanglement) -> None:
    # Below n = d the weights depend on n, but only their size does, which is not linear.
    assert float(planted.leakage().estimate.max()) < 0.02
    assert float(planted.leakage().low.max()) <= 0


def test_before_anything_is_learned_all_vectors_are_the_same(
    planted: Disentanglement,
) -> None:
    variance = planted.context_variance().sel(layer=0)
    assert all(np.isnan(variance[bound]) for bound in ("estimate", "low", "high"))


def test_another_functions_vector_harms(planted: Disentanglement) -> None:
    # w' . x of an independent w' adds its own variance: recovery is 1 - 2 = -1.
    estimate, low, high = planted.scores().loc["other_function"]
    assert low < -1 < high and high - low < 1.5, estimate


# What context noise costs


def test_the_error_of_a_mean_is_that_of_its_noise(
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    result, episodes, queries = entangled
    noise = LEAK * episodes.x[:, -2].numpy().reshape(-1, 4, TASK.d)
    query = queries.x[:, -1].numpy().reshape(-1, 4, TASK.d)
    order = by_function(result, episodes, 4)
    for count in (1, 2, 4):
        means = noise.reshape(len(noise), 4 // count, count, TASK.d).mean(2)
        errors = (np.einsum("fvd,fqd->fvq", means, query) ** 2 / TASK.d).mean((1, 2))[order]
        measured = result.data.tvp.sel(layer=1, averaged=count)
        np.testing.assert_allclose(measured, errors, rtol=1e-4, atol=1e-7)


def test_the_averaging_gain_has_its_closed_form(
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    gain = entangled[0].averaging_gain().sel(layer=1)
    expected = LEAK**2 * (1 - 1 / 4) / (1 - LEAK**2)  # In context, the noise is in the way too.
    assert float(gain.low) < expected < float(gain.high)
    assert float(gain.estimate) == pytest.approx(expected, rel=0.25)


def test_context_variance_is_the_share_of_the_noise(
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    result, episodes, _ = entangled
    noise = LEAK * episodes.x[:, -2].numpy().reshape(-1, 4, TASK.d)
    within = noise.var(1, ddof=1).sum(-1)[by_function(result, episodes, 4)]
    np.testing.assert_allclose(result.data.within.sel(layer=1), within, rtol=1e-5)
    share = result.context_variance().sel(layer=1)
    expected = LEAK**2 / (1 + LEAK**2)
    assert float(share.low) < expected < float(share.high)
    assert float(share.high - share.low) < 0.12


def test_disagreement_is_twice_the_variance_of_answers(
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    low, high = entangled[0].scores().loc["disagreement", ["low", "high"]]
    assert low < 2 * LEAK**2 < high


def test_the_last_x_leaks_by_its_share_of_the_variance(
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    leaks = entangled[0].leakage().sel(layer=1)
    expected = LEAK**2 / (1 + LEAK**2)
    assert float(leaks.low.sel(nuisance="last x")) < expected
    assert float(leaks.estimate.sel(nuisance="last x")) == pytest.approx(expected, abs=0.05)
    # y = w . x is a product, which w + leak x does not hold linearly; the rest is not there at all.
    others = leaks.sel(nuisance=["last y", "examples", "query"])
    assert float(np.abs(others.estimate).max()) < 0.03
    control = entangled[0].leakage(shuffled=True).sel(layer=1)
    assert float(np.abs(control.estimate).max()) < 0.03


# Leakage by itself


def vectors_of(**changes: xr.DataArray) -> TaskVectors:
    """The vectors of an untrained model, with some arrays replaced."""
    generator = torch.Generator().manual_seed(3)
    episodes = tvl.sample_contexts(TASK, 40, 4, 4, generator=generator)
    model = planted_model(2, 1, 2, TASK.d)
    result = read_task_vectors(model, TASK, tvl.ZXY, episodes)
    return TaskVectors(result.data.drop_vars([*changes, "layer"]).assign(changes))


def r_squared(vectors: TaskVectors) -> tuple[dict[str, float], dict[str, float]]:
    """Leakage and its control at the only layer."""
    data = leakage(vectors, torch.Generator().manual_seed(4)).sum("function").isel(layer=0)
    names = [str(name) for name in data.nuisance.values]
    shares = (1 - data[each] / data.spread for each in ("residual", "shuffled_residual"))
    real, control = (dict(zip(names, each.values.tolist(), strict=True)) for each in shares)
    return real, control


def test_what_the_vector_holds_leaks_completely() -> None:
    data = vectors_of().data
    x, y = data.x.values, data.y.values
    for name, held in {
        "last x": np.concatenate([x[:, :1], x[:, :-1]], axis=1),
        "last y": np.concatenate([y[:, :1], y[:, :-1]], axis=1),
        "query": x,
        "examples": np.broadcast_to(data.examples.values[:, None].astype(float), y.shape),
    }.items():
        dims = ("episode", "layer", "examples", "component")
        real, control = r_squared(vectors_of(vectors=xr.DataArray(held[:, None], dims=dims)))
        assert real.pop(name) == pytest.approx(1, abs=1e-3), name
        # Each x also tells a little of y, and with few rows chance does: none of it is much.
        assert max(real.values()) < 0.15, name
        assert max(control.values()) < 0.1, name


def test_what_the_function_itself_tells_is_in_the_control_too() -> None:
    data = vectors_of().data
    rng = np.random.default_rng(5)
    levels = rng.normal(size=data["function"].values.max() + 1)[data["function"].values]
    y = xr.zeros_like(data.y) + levels[:, None, None] + rng.normal(size=data.y.shape)
    held = xr.DataArray(np.tile(levels[:, None, None, None], (1, 1, 4, 1)), dims=data.vectors.dims)
    real, control = r_squared(vectors_of(vectors=held, y=y))
    assert real["last y"] == pytest.approx(0.5, abs=0.15)
    assert control["last y"] == pytest.approx(real["last y"], abs=0.02)


def test_leakage_is_measured_on_functions_that_were_not_fitted() -> None:
    # A vector that names its function one-hot could learn each function's level by heart.
    data = vectors_of().data
    functions = data["function"].values
    levels = np.random.default_rng(6).normal(size=functions.max() + 1)[functions]
    names = np.eye(functions.max() + 1)[functions]
    assert LeastSquares().fit(names, levels).score(names, levels) == pytest.approx(1)
    held = xr.DataArray(np.tile(names[:, None, None], (1, 1, 4, 1)), dims=data.vectors.dims)
    real, _ = r_squared(vectors_of(vectors=held, y=xr.zeros_like(data.y) + levels[:, None, None]))
    assert real["last y"] < 0.05


# The query that a carrier has seen


def test_swapping_queries_costs_what_the_carrier_knew_of_its_own() -> None:
    result, episodes, _ = disentangle(
        PlantedArrowModel(LAYERS, LEARN, ANSWER, TASK.d), tvl.ARROW, functions=120
    )
    swap = result.query_swap().estimate
    np.testing.assert_allclose(swap.sel(layer=[0, *HOLDS]), 0, atol=1e-6)
    # From the answer block on, the vector is the answer to its own query and to no other.
    w = episodes.params.reshape(-1, 4, TASK.d).double()
    x = episodes.x[:, -1].reshape(-1, 4, TASK.d).double()
    answers = (w * x).sum(-1)
    wrong = (answers - answers.roll(1, 1)).square().mean(1) / TASK.d
    order = by_function(result, episodes, 4)
    for layer in range(ANSWER, LAYERS + 1):
        np.testing.assert_allclose(result.data.swapped.sel(layer=layer), wrong[order], rtol=1e-4)
        assert float(result.data.own.sel(layer=layer).max()) < 1e-9
    gain = float((answers.square().mean(1) / TASK.d).mean())
    np.testing.assert_allclose(swap.sel(layer=LAYERS), wrong.mean() / gain, rtol=1e-4)


def test_without_a_seen_query_the_swap_is_zero_by_identity(
    planted: Disentanglement,
) -> None:
    swap = planted.query_swap()
    np.testing.assert_array_equal(swap.estimate, 0)
    assert bool(swap.low.isnull().all()) and bool(planted.data.own.isnull().all())


# Any model, task and format


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_errors_are_those_of_vectors_written_by_hand(format: tvl.TokenFormat) -> None:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.3)
    model = tvl.Experiment(TASK, format, config).build_model(device="cpu")
    result, episodes, queries = disentangle(model, format, functions=5, contexts=3)
    assert result.data.averaged.values.tolist() == [1, 2, 3]
    site = tvl.Site(1, format.carrier)
    single = tvl.read(model, format.context(episodes), site)[:, -1].detach().reshape(5, 3, -1)

    def crossed(asked: tvl.Episodes, vectors: torch.Tensor) -> np.ndarray:
        """Errors of the last queries (function, query) by all vectors (function, vector)."""
        rows = vectors.flatten(0, 1)
        parts = (asked.x, asked.y, asked.target, asked.params)
        every = tvl.Episodes(*(each.repeat_interleave(len(rows), 0) for each in parts))
        prompt = format.zero_shot(every, torch.tensor([[4]]))
        answers = tvl.write(model, prompt, site, rows.repeat(15, 1)[:, None])[:, -1].detach()
        return TASK.error(answers, every.target[:, -1]).reshape(5, 3, *vectors.shape[:2]).numpy()

    drawn = by_function(result, episodes, 3)
    measured = result.data.sel(layer=1)
    averages = {1: single, 2: single[:, :2].mean(1, keepdim=True), 3: single.mean(1, keepdim=True)}
    for count, vectors in averages.items():
        errors = crossed(queries, vectors).mean((1, 3))[drawn][:, drawn]
        tvp = measured.tvp.sel(averaged=count).values
        np.testing.assert_allclose(tvp, errors.diagonal(), rtol=2e-5)
        if count == 1:
            gaps = np.abs(errors - measured.other.values[:, None]) / errors
            assert sorted(gaps.argmin(1)) == list(range(5)), "each function lends its vectors once"
            assert gaps.min(1).max() < 2e-5 and (gaps.argmin(1) != np.arange(5)).all()
    if format.carrier_sees_query:
        own = np.stack([crossed(episodes, single)[each, :, each] for each in drawn])
        pairs = own[:, range(3), (2, 0, 1)].mean(1)
        np.testing.assert_allclose(measured.swapped, pairs, rtol=2e-5)
        pairs = own.diagonal(axis1=1, axis2=2).mean(1)
        np.testing.assert_allclose(measured.own, pairs, rtol=2e-5, atol=1e-7)


def test_functions_that_are_drawn_often_count_once() -> None:
    task = tvl.TokenOffset(vocabulary=9, held_out_share=0.0)
    config = tvl.TransformerConfig(n_layers=1, d_model=8, n_heads=2)
    model = tvl.Experiment(task, tvl.ZXY, config).build_model(device="cpu")
    result, episodes, _ = disentangle(model, functions=30, contexts=2, shots=3, task=task)
    offsets, counts = np.unique(episodes.params.numpy(), return_counts=True)
    assert result.data.sizes["function"] == len(offsets) < 30
    assert result.data.attrs["contexts"] == counts.min()
    assert result.data.disagreement.max() <= 1


def test_context_variance_by_hand(planted: Disentanglement) -> None:
    # Two functions of two contexts in one dimension: vectors 0, 2 and 5, 9.
    data = xr.Dataset(
        {
            "within": (("function", "layer"), np.array([[2.0], [8.0]])),
            "centre": (("function", "layer", "component"), np.array([[[1.0]], [[7.0]]])),
        },
        attrs={"contexts": 2},
    )
    share = Disentanglement(data).context_variance().estimate
    # Within: (2 + 8) / 2 = 5. Between: 18 - 5 / 2 = 15.5.
    np.testing.assert_allclose(share, 5 / 20.5)


def test_bad_input_is_explained() -> None:
    model = planted_model(2, 1, 2, TASK.d)
    generator = torch.Generator().manual_seed(0)

    def call(episodes: tvl.Episodes, other: tvl.Episodes | None = None, layer: int = 1) -> None:
        queries = tvl.fresh_queries(TASK, other or episodes, generator=generator)
        vectors = read_task_vectors(model, TASK, tvl.ZXY, episodes)
        measure_disentanglement(
            model, TASK, tvl.ZXY, episodes, queries, vectors, layer=layer, generator=generator
        )

    def draw(functions: int, contexts: int, shots: int = 4) -> tvl.Episodes:
        return tvl.sample_contexts(TASK, functions, contexts, shots, generator=generator)

    with pytest.raises(tvl.InputError, match="at least 5 functions"):
        call(draw(4, 3))
    with pytest.raises(tvl.InputError, match="at least 2 contexts"):
        call(draw(8, 1))
    with pytest.raises(tvl.InputError, match=r"queries are of other\s+functions"):
        call(draw(6, 2), draw(6, 2))
    with pytest.raises(tvl.InputError, match="at least two context lengths"):
        call(draw(6, 2, shots=1))
    with pytest.raises(tvl.InputError, match="Layer 3 is out of range"):
        call(draw(6, 2), layer=3)


# What is kept and shown


def test_saved_and_loaded_it_is_the_same(planted: Disentanglement, tmp_path: Path) -> None:
    planted.save(tmp_path / "result.nc")
    loaded = Disentanglement.load(tmp_path / "result.nc")
    xr.testing.assert_identical(loaded.data, planted.data)
    assert loaded.scores().equals(planted.scores())


def test_the_figure_shows_the_numbers(
    planted: Disentanglement,
    entangled: tuple[Disentanglement, tvl.Episodes, tvl.Episodes],
) -> None:
    drawn: Any = tvl.plots.plot_disentanglement({"a": planted, "b": entangled[0]})
    lines = {(each.name, each.xaxis): each for each in drawn.data if each.name}
    leaks = entangled[0].leakage()
    line = lines["last x", "x4"]
    np.testing.assert_array_equal(line.y, leaks.estimate.sel(nuisance="last x"))
    np.testing.assert_array_equal(line.customdata[:, 1], leaks.high.sel(nuisance="last x"))
    control = entangled[0].leakage(shuffled=True).estimate.sel(nuisance="query")
    np.testing.assert_array_equal(lines["query, shuffled", "x4"].y, control)
    recovered = planted.recovery().estimate
    np.testing.assert_array_equal(lines["mean of 4 contexts", "x"].y, recovered.isel(averaged=-1))
    variance = entangled[0].context_variance().estimate
    np.testing.assert_array_equal(lines["within functions", "x6"].y, variance)


def test_the_script_runs_on_a_shipped_model(script: Script, tmp_path: Path) -> None:
    options = ("--episodes", "40", "--contexts", "4", "--examples", "3", "--device", "cpu")
    ended = script("disentanglement.py", "offset-tvp", *options, "--out", tmp_path)
    assert ended.code == 0 and "averaging_gain" in ended.out
    assert {each.suffix for each in tmp_path.iterdir() if each.is_file()} == {
        ".html",
        ".csv",
        ".nc",
    }
    ended = script("disentanglement.py", "--contexts", "1", "--out", tmp_path)
    assert ended.code == 2 and "at least 2 contexts" in ended.error


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/disentanglement.md")
    exec(compile(block, "disentanglement.md", "exec"), {"__name__": "documentation"})
