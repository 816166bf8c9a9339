"""Probes of vectors whose content is known."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

import tvlens as tvl
from tests.own_tasks import Quadratic
from tests.planted import planted_model
from tests.running import Script
from tvlens.analysis.decodability import measure_decodability
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.shared.probes import (
    PENALTIES,
    mean_predictions,
    neighbour_votes,
    ridge_predictions,
)
from tvlens.interventions.vectors import read_task_vectors
from tvlens.results import Decodability, LocalityMap, TaskVectors
from tvlens.tasks import Parameter, best_estimates, describe_parameters, probe_targets

TASK = tvl.LinearRegression(d=4)
LAYERS, LEARN, ANSWER = 4, 2, 3


def planted_vectors(functions: int = 150, contexts: int = 4, shots: int = 7) -> TaskVectors:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_contexts(TASK, functions, contexts, shots, generator=generator)
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    return read_task_vectors(model, TASK, tvl.ZXY, episodes)


def decode(vectors: TaskVectors, layer: int = LEARN, **options: Any) -> Decodability:
    options = {"layer": layer, "neighbours": 3, "generator": np.random.default_rng(0)} | options
    return measure_decodability(vectors, **options)


def planted_map(shots: int = 7) -> LocalityMap:
    generator = torch.Generator().manual_seed(1)
    episodes = tvl.sample_episodes(TASK, 64, shots, generator=generator)
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    return measure_locality_map(
        model,
        TASK,
        tvl.ZXY,
        episodes,
        tvl.fresh_queries(TASK, episodes, generator=generator),
        untrained=model,
        generator=generator,
    )


@pytest.fixture(scope="module")
def planted() -> Decodability:
    return decode(planted_vectors()).with_recovery(planted_map())


# What a task says of its parameters


def test_probe_targets_are_what_the_answer_is_linear_in() -> None:
    generator = torch.Generator().manual_seed(0)
    sinusoid = tvl.Sinusoid()
    params = sinusoid.sample_params(50, generator=generator)
    x = sinusoid.sample_inputs(params, 3, generator=generator)
    cosine, sine = probe_targets(sinusoid, params).values()
    answer = cosine[:, None] * x[..., 0].sin() + sine[:, None] * x[..., 0].cos()
    torch.testing.assert_close(answer, sinusoid.apply(params, x)[..., 0], rtol=1e-4, atol=1e-4)
    weights = TASK.sample_params(5, generator=generator)
    targets = probe_targets(TASK, weights)
    assert list(targets) == ["w1", "w2", "w3", "w4"]
    assert torch.equal(torch.stack(list(targets.values()), 1), weights)


@pytest.mark.parametrize("vocabulary", [7, 8])
def test_every_function_of_an_offset_is_linear_in_its_targets(vocabulary: int) -> None:
    task = tvl.TokenOffset(vocabulary=vocabulary)
    offsets = torch.arange(vocabulary, dtype=torch.float32)[:, None]
    columns = torch.stack([torch.ones(vocabulary), *probe_targets(task, offsets).values()], dim=1)
    assert columns.shape == (vocabulary, vocabulary)
    np.testing.assert_allclose(columns.T @ columns, np.diag((columns**2).sum(0)), atol=1e-5)


@pytest.mark.parametrize(
    "task",
    [
        tvl.LinearRegression(d=3, noise=0.5),
        tvl.Sinusoid(noise=1.0),
        tvl.TokenOffset(vocabulary=8, noise=0.5),
    ],
)
def test_errors_of_best_estimates_have_nothing_to_do_with_the_estimates(task: tvl.Task) -> None:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(task, 4000, 4, generator=generator)
    targets = torch.stack(list(probe_targets(task, episodes.params).values()), dim=1)
    estimates = best_estimates(task, episodes)
    assert estimates is not None
    spread = (targets - targets.mean(0)).square().sum()
    shares = []
    for estimate in estimates.unbind(1):
        # Were error and estimate not orthogonal, some multiple of the estimate would be better.
        product = ((targets - estimate) * estimate).sum(1)
        assert abs(product.mean()) <= 4 * product.std() / math.sqrt(len(product)) + 1e-6
        shares.append(float(1 - (targets - estimate).square().sum() / spread))
    assert abs(shares[0]) < 0.01
    assert shares == sorted(shares) and 0.1 < shares[-1] < 0.99


@dataclass(frozen=True)
class Tide(Quadratic):
    """A task of one's own, which only says what its parameters are called."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return Parameter("height"), Parameter("hour", period=12.0)


def test_a_task_of_ones_own_need_not_say_anything() -> None:
    params = torch.tensor([[1.0, 3.0], [2.0, 6.0]])
    assert [each.name for each in describe_parameters(Quadratic(), 2)] == [
        "parameter 1",
        "parameter 2",
    ]
    assert [v.tolist() for v in probe_targets(Quadratic(), params).values()] == params.T.tolist()
    targets = probe_targets(Tide(), params)
    assert list(targets) == ["height", "cos hour", "sin hour"]
    np.testing.assert_allclose(targets["cos hour"], [0, -1], atol=1e-6)
    np.testing.assert_allclose(targets["sin hour"], [1, 0], atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_contexts(Tide(), 20, 4, 3, generator=generator)
    experiment = tvl.Experiment(
        task=Tide(), model=tvl.TransformerConfig(n_layers=2, d_model=8, n_heads=1)
    )
    vectors = read_task_vectors(experiment.build_model(), Tide(), tvl.ZXY, episodes)
    assert vectors.data.period.values.tolist()[1] == 12
    result = decode(vectors, layer=1)
    assert "best_estimates" not in vectors.data and result.ceiling().estimate.isnull().all()
    assert np.isnan(result.scores().loc["ceiling", "estimate"])
    drawn: Any = tvl.plots.plot_decodability(result)
    assert "best estimate" not in {trace.name for trace in drawn.data}


@dataclass(frozen=True)
class Misnamed(Quadratic):
    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("a"),)


def test_a_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(tvl.InputError, match=r"Misnamed describes 1 parameters, .* have 2 columns"):
        describe_parameters(Misnamed(), 2)


# Probes


def test_ridge_predictions_are_those_of_a_plain_implementation() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 7)) * np.geomspace(1, 100, 7) + 3
    targets = vectors[:, :2] @ rng.normal(size=(2, 3)) + [0, 3, 30] * rng.normal(size=(60, 3))
    folds = np.arange(60) % 4
    expected = np.empty_like(targets)
    for fold in range(4):
        train, test = folds != fold, folds == fold
        for column in range(3):
            y = targets[:, column]

            def fit(rows: np.ndarray, penalty: float, y: np.ndarray = y) -> Ridge:
                spread = vectors[rows].var(0).sum() * rows.sum() / vectors.shape[1]
                return Ridge(alpha=penalty * spread, solver="cholesky").fit(vectors[rows], y[rows])

            def error(penalty: float, train: np.ndarray = train, y: np.ndarray = y) -> float:
                total = 0.0
                for inner in np.unique(folds[train]):
                    model, out = fit(train & (folds != inner), penalty), folds == inner
                    total += ((model.predict(vectors[out]) - y[out]) ** 2).sum()
                return total

            best = min(PENALTIES, key=error)
            expected[test, column] = fit(train, best).predict(vectors[test])
    found = ridge_predictions(vectors, targets, folds)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_fold_has_no_say_in_its_own_predictions() -> None:
    rng = np.random.default_rng(0)
    vectors, targets, folds = rng.normal(size=(40, 5)), rng.normal(size=(40, 1)), np.arange(40) % 5
    changed = np.where(folds[:, None] == 2, 1e3 * rng.normal(size=(40, 1)), targets)
    for predict in (
        lambda y: ridge_predictions(vectors, y, folds),
        lambda y: mean_predictions(y, folds),
    ):
        before, after = predict(targets), predict(changed)
        np.testing.assert_array_equal(before[folds == 2], after[folds == 2])
        assert (before[folds != 2] != after[folds != 2]).all()


def test_vectors_that_say_nothing_predict_the_mean() -> None:
    rng = np.random.default_rng(0)
    targets, folds = rng.normal(size=(40, 2)), np.arange(40) % 5
    constant = np.full((40, 6), 1 / 3, dtype=np.float32)
    np.testing.assert_allclose(
        ridge_predictions(constant, targets, folds), mean_predictions(targets, folds), atol=1e-12
    )


def test_neighbours_vote() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [13.0]])
    labels = np.array([[0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]])
    # The two nearest of each: (1, 2), (0, 2), (1, 0), (11, 13), (10, 13), (11, 10).
    np.testing.assert_array_equal(
        neighbour_votes(points, labels, 2), [[0.5, 0.5, 0, 0.5, 0.5, 0], [1, 1, 1, 1, 1, 1]]
    )


def test_more_neighbours_than_vectors_are_refused() -> None:
    with pytest.raises(tvl.InputError, match="4 neighbours cannot be found among 4 vectors"):
        neighbour_votes(np.eye(4), np.zeros((1, 4), dtype=int), 4)


def test_neighbours_are_those_of_leaving_one_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=50)
    points = rng.normal(size=(50, 3)) + labels[:, None]
    expected = []
    for left_out in range(50):
        others = np.arange(50) != left_out
        model = KNeighborsClassifier(5).fit(points[others], labels[others])
        expected.append(model.predict(points[[left_out]])[0] == labels[left_out])
    np.testing.assert_array_equal(neighbour_votes(points, labels[None], 5)[0], expected)


# The analysis


def test_nothing_is_decodable_below_the_learning_block_and_all_from_it_on(
    planted: Decodability,
) -> None:
    r2 = planted.r2().estimate.sel(labels="true")
    np.testing.assert_allclose(r2.sel(layer=range(LEARN)), 0, atol=1e-9)
    complete = r2.sel(layer=range(LEARN, LAYERS + 1), examples=slice(TASK.d, None))
    np.testing.assert_allclose(complete, 1, atol=1e-6)
    ceiling = planted.ceiling()
    for n in range(1, TASK.d):
        # The vector is the best estimate itself; the probe needs only to find that out.
        found = r2.sel(layer=LEARN, examples=n)
        assert abs(found - ceiling.estimate.sel(examples=n)) < 0.03
        assert ceiling.low.sel(examples=n) < n / TASK.d < ceiling.high.sel(examples=n)


def test_the_ceiling_of_linear_regression_is_n_over_d() -> None:
    episodes = tvl.sample_episodes(TASK, 20_000, 6, generator=torch.Generator().manual_seed(0))
    estimates = best_estimates(TASK, episodes)
    assert estimates is not None
    errors = (estimates - episodes.params[:, None]).square().mean((0, 2))
    np.testing.assert_allclose(1 - errors, np.minimum(1, np.arange(6) / TASK.d), atol=0.015)


def test_a_vector_can_be_decodable_and_not_steer(planted: Decodability) -> None:
    r2 = planted.r2().estimate.sel(labels="true").isel(examples=-1)
    accuracy = planted.accuracy().estimate.sel(labels="true").isel(examples=-1)
    for layer in range(ANSWER, LAYERS + 1):
        assert r2.sel(layer=layer) > 1 - 1e-6 and accuracy.sel(layer=layer) > 0.95
        assert planted.data.recovery.sel(layer=layer) == 0
    np.testing.assert_allclose(planted.data.recovery.sel(layer=LEARN), 1, atol=1e-6)


def test_shuffled_functions_are_at_chance(planted: Decodability) -> None:
    r2 = planted.r2().high.sel(labels="shuffled", layer=range(LEARN, LAYERS + 1))
    assert (r2 < 0.1).all()
    # Of 599 other vectors, 3 are of the same function.
    accuracy = planted.accuracy().estimate.sel(labels="shuffled")
    assert abs(accuracy.mean() - 3 / 599) < 0.005
    selectivity = planted.selectivity().estimate
    difference = planted.accuracy().estimate.sel(labels="true") - accuracy
    np.testing.assert_allclose(selectivity, difference)


def test_r2_sums_squares_over_functions_and_targets(planted: Decodability) -> None:
    data = planted.data.sel(labels="true")
    errors, baseline = data.squared_error, data.baseline_error
    np.testing.assert_allclose(
        planted.r2().estimate.sel(labels="true"),
        1 - errors.sum(["function", "target"]) / baseline.sum(),
    )
    xr.testing.assert_allclose(
        planted.r2_of_targets().estimate.sel(labels="true").drop_vars("labels"),
        (1 - errors.sum("function") / baseline.sum("function"))
        .transpose("target", "layer", "examples")
        .drop_vars("labels"),
    )


def test_the_noise_that_a_vector_carries_lowers_its_r2() -> None:
    rng = np.random.default_rng(0)
    weights = np.repeat(rng.normal(size=(200, 2)), 4, axis=0)
    vectors = weights + rng.normal(size=weights.shape)
    data = xr.Dataset(
        {
            "vectors": (("layer", "episode", "component", "examples"), vectors[None, ..., None]),
            "targets": (("episode", "target"), weights),
        },
        coords={
            "layer": [0],
            "examples": [7],
            "target": ["a", "b"],
            "function": ("episode", np.repeat(np.arange(200), 4)),
        },
        attrs={"carrier": "z", "format": "zxy", "task": "none", "carrier_sees_query": 0},
    )
    r2 = decode(TaskVectors(data), layer=0).r2().sel(labels="true").squeeze()
    assert r2.low < 0.5 < r2.high, "half of the variance is signal"
    assert r2.high - r2.low < 0.2


@pytest.mark.parametrize(
    ("functions", "contexts", "options", "message"),
    [
        (4, 4, {}, "at least 5 functions .* got 4"),
        (8, 3, {}, "at least 4 contexts each, got 8 with 3 at least"),
        (8, 4, {"folds": 2}, "at least 3 folds.*got 2"),
        (8, 4, {"layer": 5}, r"Layer 5 is out of range.*0\.\.4"),
    ],
)
def test_what_can_not_be_probed_is_refused(
    functions: int, contexts: int, options: dict[str, int], message: str
) -> None:
    vectors = planted_vectors(functions, contexts, shots=2)
    with pytest.raises(tvl.InputError, match=message):
        decode(vectors, **options)


def test_recovery_of_another_context_length_is_refused(planted: Decodability) -> None:
    with pytest.raises(tvl.InputError, match=r"up to 6 examples cannot be set beside .* up to 3"):
        planted.with_recovery(planted_map(shots=4))


def test_saved_decodability_is_the_same(planted: Decodability, tmp_path: Path) -> None:
    planted.save(tmp_path / "decodability.nc")
    loaded = Decodability.load(tmp_path / "decodability.nc")
    assert loaded.data.identical(planted.data)
    assert loaded.scores().equals(planted.scores())


def test_saved_vectors_are_the_same_and_are_decoded_the_same(tmp_path: Path) -> None:
    vectors = planted_vectors(6, 4, shots=2)
    vectors.save(tmp_path / "vectors.nc")
    loaded = TaskVectors.load(tmp_path / "vectors.nc")
    assert loaded.data.identical(vectors.data)
    assert decode(loaded).data.identical(decode(vectors).data)


# Figures and the script


def test_curves_show_the_numbers_of_the_result(planted: Decodability) -> None:
    drawn: Any = tvl.plots.plot_decodability({"a": planted, "b": planted})
    lines = [trace for trace in drawn.data if trace.name == f"layer {LEARN}"]
    assert [line.yaxis for line in lines] == ["y", "y3", "y2", "y4"]
    for line, values in zip(lines, (planted.r2(), planted.accuracy()) * 2, strict=True):
        cells = values.sel(labels="true", layer=LEARN)
        np.testing.assert_array_equal(line.y, cells.estimate)
        np.testing.assert_array_equal(line.customdata, np.stack([cells.low, cells.high], 1))
    best = next(trace for trace in drawn.data if trace.name == "best estimate")
    np.testing.assert_array_equal(best.y, planted.ceiling().estimate)


def test_the_map_of_targets_shows_their_r2(planted: Decodability) -> None:
    drawn: Any = tvl.plots.plot_probe_targets(planted)
    expected = planted.r2_of_targets().estimate.sel(labels="true").isel(examples=-1)
    np.testing.assert_array_equal(drawn.data[0].z, expected.transpose("layer", "target"))
    assert list(drawn.data[0].x) == ["w1", "w2", "w3", "w4"]


def test_decodability_is_drawn_against_recovery(planted: Decodability) -> None:
    drawn: Any = tvl.plots.plot_decodability_and_recovery({"model": planted})
    r2, accuracy = drawn.data
    np.testing.assert_array_equal(r2.y, planted.data.recovery)
    np.testing.assert_array_equal(r2.x, planted.r2().estimate.sel(labels="true").isel(examples=-1))
    np.testing.assert_array_equal(
        accuracy.x, planted.accuracy().estimate.sel(labels="true").isel(examples=-1)
    )
    assert list(r2.text) == ["0", "1", "2", "3", "4"]
    alone = Decodability(planted.data.drop_vars("recovery"))
    with pytest.raises(tvl.InputError, match=r"no recovery .*with_recovery"):
        tvl.plots.plot_decodability_and_recovery(alone)


def test_the_script_sets_probes_beside_recovery(script: Script, tmp_path: Path) -> None:
    small = ("--functions", 12, "--contexts", 11, "--episodes", 32, "--examples", 6)
    ended = script("decodability.py", "linear-tvp", *small, "--device", "cpu", "--out", tmp_path)
    assert ended.code == 0, ended.error
    result = tvl.results.load_results(Decodability, tmp_path / "decodability.nc")["linear-tvp"]
    scores = result.scores()
    assert result.data.attrs["layer"] == 3
    assert scores.loc["recovery", "estimate"] > 0.8
    assert scores.loc["r2", "low"] > 0.4 > scores.loc["shuffled_r2", "estimate"]
    page = (tmp_path / "decodability.html").read_text()
    for title in ("What can be read off", "Does the model use", "Which parameters"):
        assert title in page
