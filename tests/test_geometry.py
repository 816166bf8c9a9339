"""The geometry of vectors whose clusters are known."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import tvlens as tvl
from tests.planted import planted_model
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.shared.clusters import measure_geometry
from tvlens.interventions.vectors import read_task_vectors
from tvlens.results import Geometry, TaskVectors, jackknife_interval
from tvlens.results.geometry import effective_dimension

FUNCTIONS, CONTEXTS = 6, 5


def vectors_of(
    points: np.ndarray, functions: np.ndarray, period: float = np.nan, **params: np.ndarray
) -> TaskVectors:
    """Vectors (episode, component) or (layer, episode, component) as a result."""
    layers = points[None] if points.ndim == 2 else points
    values = params or {"w": functions.astype(float)}
    return TaskVectors(
        xr.Dataset(
            {
                "vectors": (("layer", "episode", "component", "examples"), layers[..., None]),
                "params": (("episode", "param"), np.stack(list(values.values()), axis=1)),
            },
            coords={
                "layer": range(len(layers)),
                "examples": [7],
                "function": ("episode", functions),
                "param": list(values),
                "period": ("param", [*([np.nan] * (len(values) - 1)), period]),
            },
            attrs={"carrier": "z", "format": "zxy", "task": "none", "carrier_sees_query": 0},
        )
    )


def geometry_of(points: np.ndarray, functions: np.ndarray, seed: int = 0) -> Geometry:
    vectors, generator = vectors_of(points, functions), np.random.default_rng(seed)
    return measure_geometry(vectors, layer=0, generator=generator)


def clusters(
    functions: int, contexts: int, between: float, within: float, d: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clusters, with standard deviations between and within them."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(functions), contexts)
    centres = between * rng.normal(size=(functions, d))
    return centres[labels] + within * rng.normal(size=(len(labels), d)), labels


@pytest.fixture(scope="module")
def planted() -> TaskVectors:
    task, generator = tvl.LinearRegression(d=3), torch.Generator().manual_seed(0)
    episodes = tvl.sample_contexts(task, 40, 3, 6, generator=generator)
    return read_task_vectors(planted_model(4, 2, 3, 3), task, tvl.ZXY, episodes)


def at_layer_0(bounds: xr.Dataset, labels: str = "true") -> xr.Dataset:
    return bounds.sel(labels=labels, layer=0)


def test_eta2_of_gaussian_clusters_is_the_share_between_them() -> None:
    between, within, contexts = 2.0, 1.0, 10
    result = geometry_of(*clusters(200, contexts, between, within))
    # A mean of ten contexts keeps a tenth of the variance within.
    expected = (between**2 + within**2 / contexts) / (between**2 + within**2)
    eta2 = at_layer_0(result.eta2())
    assert abs(eta2.estimate - expected) < 0.015
    assert eta2.low < expected < eta2.high
    assert eta2.high - eta2.low < 0.04


def test_intervals_of_eta2_hold_the_truth_about_as_often_as_they_say() -> None:
    expected = (1 + 1 / 4) / (1 + 1)
    hits = []
    for seed in range(40):
        eta2 = at_layer_0(geometry_of(*clusters(20, 4, 1, 1, seed=seed)).eta2())
        hits.append(bool(eta2.low < expected < eta2.high))
    # Of 40 with a chance of 0.95, fewer than 33 hold it once in 300 times.
    assert sum(hits) >= 33


def test_eta2_is_the_mean_over_components_weighted_by_their_variance() -> None:
    rng = np.random.default_rng(0)
    points, labels = clusters(8, 6, 1, 1, d=5)
    result = geometry_of(points * [5, 3, 1, 0.5, 0.1] + rng.normal(size=5), labels)
    components = at_layer_0(result.eta2_of_components()).estimate
    explained = result.data.explained.sel(layer=0)
    np.testing.assert_allclose(explained.sum(), 1)
    for kind in ("true", "shuffled"):
        components = at_layer_0(result.eta2_of_components(), kind).estimate
        np.testing.assert_allclose(
            (components * explained).sum(), at_layer_0(result.eta2(), kind).estimate
        )


def test_numbers_of_unequal_clusters_are_those_of_a_plain_implementation() -> None:
    rng = np.random.default_rng(1)
    labels = np.array([4, 4, 4, 4, 7, 7, 9, 9, 9])
    points = rng.normal(size=(9, 3)) + labels[:, None]
    result = geometry_of(points, labels)
    of = {label: points[labels == label] for label in (4, 7, 9)}
    centre = points.mean(0)
    between = sum(len(p) * ((p.mean(0) - centre) ** 2).sum() for p in of.values())
    total = ((points - centre) ** 2).sum()
    np.testing.assert_allclose(at_layer_0(result.eta2()).estimate, between / total)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    within, across, silhouettes = [], [], []
    for label, own in of.items():
        others = [p for other, p in of.items() if other != label]
        within.append(np.mean([distance(a, b) for a, b in itertools.permutations(own, 2)]))
        across.append(np.mean([distance(a, b) for a in own for b in np.concatenate(others)]))
        scores = []
        for index, a in enumerate(own):
            far = np.linalg.norm(np.delete(own, index, axis=0) - a, axis=1).mean()
            near = min(np.linalg.norm(p - a, axis=1).mean() for p in others)
            scores.append((near - far) / max(near, far))
        silhouettes.append(np.mean(scores))
    np.testing.assert_allclose(
        at_layer_0(result.cosine_ratio()).estimate, np.mean(within) / np.mean(across)
    )
    np.testing.assert_allclose(
        at_layer_0(result.silhouette()).sel(space="all components").estimate, np.mean(silhouettes)
    )


def test_shuffled_functions_have_the_expected_share() -> None:
    points, labels = clusters(4, 5, 1, 1, d=12)
    results = [geometry_of(points, labels, seed) for seed in range(50)]
    shares = [float(at_layer_0(each.eta2(), "shuffled").estimate) for each in results]
    assert results[0].chance() == 3 / 19
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 3 / 19) < 4 * error < 0.03
    unlabelled = ["scores", "explained"]
    assert results[1].data[unlabelled].identical(results[0].data[unlabelled])


def test_points_in_one_place_are_perfect_clusters() -> None:
    points, labels = clusters(5, 4, 1, 0)
    result = geometry_of(points, labels)
    scores = result.scores()
    for name, expected in {"eta2": 1, "silhouette": 1, "cosine_ratio": 0}.items():
        np.testing.assert_allclose(scores.loc[name], expected, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(
        scores.loc["effective_dimension", "estimate"],
        scores.loc["effective_dimension_of_means", "estimate"],
    )


def test_the_effective_dimension_counts_directions() -> None:
    lengths = np.array([3.0, 2.0, 1.0])
    points = np.concatenate([np.diag(lengths), -np.diag(lengths)])
    expected = (lengths**2).sum() ** 2 / (lengths**4).sum()
    np.testing.assert_allclose(effective_dimension(points + 5), expected)
    np.testing.assert_allclose(effective_dimension(np.eye(6, 100)), 5)


def test_the_effective_dimension_of_isotropic_points_is_that_of_wishart_matrices() -> None:
    d, points = 8, 120
    found = [
        effective_dimension(np.random.default_rng(seed).normal(size=(points, d)))
        for seed in range(40)
    ]
    # E (tr W)^2 / E tr W^2 for a Wishart matrix W of N - 1 degrees of freedom.
    expected = (d * (points - 1) + 2) / (d + points)
    assert abs(np.mean(found) - expected) < 0.05


def test_the_jackknife_of_a_mean_is_the_interval_of_student() -> None:
    values = np.random.default_rng(0).normal(size=12)
    without = np.array([np.delete(values, index).mean() for index in range(12)])
    low, high = jackknife_interval(values.mean(), without)
    error = values.std(ddof=1) / np.sqrt(12)
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=error)
    np.testing.assert_allclose(low, expected[0])
    np.testing.assert_allclose(high, expected[1])


def test_the_planted_model_holds_only_the_function_from_its_learning_block_on(
    planted: TaskVectors,
) -> None:
    d, functions = 3, 40
    result = measure_geometry(planted, layer=2, generator=np.random.default_rng(0))
    eta2 = result.eta2().estimate.sel(labels="true")
    assert np.isnan(eta2.sel(layer=[0, 1])).all(), "before, all vectors are the same"
    np.testing.assert_allclose(eta2.sel(layer=[2, 3, 4]), 1, atol=1e-6)
    dimension = result.effective_dimension().sel(labels="true", of="means", layer=2)
    expected = (d * (functions - 1) + 2) / (functions + d)
    assert dimension.low < expected < dimension.high
    assert abs(dimension.estimate - expected) < 0.3
    fewer = measure_geometry(planted, layer=2, examples=1, generator=np.random.default_rng(0))
    # One example tells the weights along a single direction, a different one in each context.
    assert fewer.eta2().sel(labels="true", layer=2).high < 0.7
    assert fewer.data.attrs["examples"] == 1


def test_a_layer_without_variance_is_undefined_and_the_others_are_not() -> None:
    points, labels = clusters(3, 4, 1, 1)
    both = geometry_of(np.stack([np.ones_like(points) / 3, points]), labels)
    alone = geometry_of(points, labels)
    assert both.scores().isna().all(axis=None)
    np.testing.assert_array_equal(
        both.eta2().sel(layer=1).to_array(), alone.eta2().sel(layer=0).to_array()
    )


@pytest.mark.parametrize(
    ("functions", "layer", "examples", "message"),
    [
        ([0, 0, 0, 0], 0, None, "at least 2 functions .* got 1"),
        ([0, 0, 1, 2], 0, None, "at least 2 contexts each, got 3 with 1 at least"),
        ([0, 0, 1, 1], 3, None, r"Layer 3 is out of range.*0\.\.0"),
        ([0, 0, 1, 1], 0, 2, "no vectors of 2 examples, only of 7 to 7"),
    ],
)
def test_what_has_no_geometry_is_refused(
    functions: list[int], layer: int, examples: int | None, message: str
) -> None:
    vectors = vectors_of(np.eye(4), np.array(functions))
    generator = np.random.default_rng(0)
    with pytest.raises(tvl.InputError, match=message):
        measure_geometry(vectors, layer=layer, examples=examples, generator=generator)


def test_saved_geometry_is_the_same(tmp_path: Path) -> None:
    result = geometry_of(*clusters(3, 4, 1, 1))
    result.save(tmp_path / "geometry.nc")
    loaded = Geometry.load(tmp_path / "geometry.nc")
    assert loaded.data.identical(result.data)
    assert loaded.scores().equals(result.scores())


def test_the_figure_shows_the_vectors_of_the_chosen_layer() -> None:
    points, labels = clusters(3, 4, 1, 1)
    result = geometry_of(np.stack([points, points[:, ::-1] * 2]), labels)
    drawn: Any = tvl.plots.plot_geometry({"a": result, "b": result})
    assert [trace.type for trace in drawn.data] == ["scatter", "scatter3d"] * 4
    assert [trace.visible for trace in drawn.data] == [True] * 4 + [False] * 4
    for index, trace in enumerate(drawn.data):
        scores = result.data["scores"].sel(layer=index // 4)
        np.testing.assert_allclose(trace.x, scores[:, 0], rtol=1e-6)
        np.testing.assert_allclose(trace.y, scores[:, 1], rtol=1e-6)
        np.testing.assert_allclose(trace.marker.color, labels, rtol=1e-6)
    np.testing.assert_allclose(drawn.data[1].z, result.data["scores"].sel(layer=0)[:, 2], rtol=1e-6)
    second = drawn.layout.sliders[0].steps[1]
    assert second.args[0]["visible"] == [False] * 4 + [True] * 4
    share = float(result.eta2().estimate.sel(layer=1, labels="true"))
    assert f"a, layer 1<br><sup>{share:.0%} of var" in second.args[1]["annotations[0].text"]


def test_lines_over_layers_are_the_numbers_of_the_result() -> None:
    points, labels = clusters(3, 4, 1, 1)
    result = geometry_of(np.stack([points, points**2]), labels)
    drawn: Any = tvl.plots.plot_geometry_over_layers({"model": result})
    lines = [trace for trace in drawn.data if trace.name == "model"]
    expected = [
        result.eta2(),
        result.silhouette().isel(space=0),
        result.cosine_ratio(),
        result.effective_dimension().sel(of="means"),
    ]
    for line, bounds in zip(lines, expected, strict=True):
        np.testing.assert_array_equal(line.y, bounds.estimate.sel(labels="true"))
        np.testing.assert_array_equal(line.customdata[:, 1], bounds.high.sel(labels="true"))
    assert [trace.name for trace in drawn.data].count("model shuffled") == 4


def test_colours_follow_the_parameter_that_is_cyclic_or_alone() -> None:
    points, labels = clusters(3, 2, 1, 1)
    generator = np.random.default_rng(0)
    angle, size = np.array([0.5, 2.0, 7.0])[labels], np.array([3.0, 1.0, 2.0])[labels]

    def colours(period: float, colour: str | None = None, **params: np.ndarray) -> tuple:
        vectors = vectors_of(points, labels, period, **params)
        result = measure_geometry(vectors, layer=0, generator=generator)
        drawn: Any = tvl.plots.plot_geometry(result, colour=colour)
        axis = drawn.layout.coloraxis
        values = np.asarray(drawn.data[0].marker.color)
        return axis.colorbar.title.text, (axis.cmin, axis.cmax), values

    title, limits, values = colours(6, size=size, angle=angle)
    assert (title, limits) == ("angle", (0, 6))
    np.testing.assert_allclose(values, angle % 6, rtol=1e-6)
    title, limits, values = colours(np.nan, size=size)
    assert (title, limits) == ("size", (1, 3))
    title, limits, values = colours(np.nan, size=size, angle=angle)
    assert title == "function", "no parameter says more than the others"
    np.testing.assert_allclose(values, labels, rtol=1e-6)
    title, limits, values = colours(6, "size", size=size, angle=angle)
    np.testing.assert_allclose(values, size, rtol=1e-6)
    with pytest.raises(tvl.InputError, match=r"no parameter 'angel'\. Did you mean 'angle'"):
        colours(6, "angel", size=size, angle=angle)


def test_functions_that_differ_are_not_drawn_in_the_same_colours() -> None:
    one, other = geometry_of(*clusters(3, 4, 1, 1)), geometry_of(*clusters(4, 3, 1, 1))
    with pytest.raises(tvl.InputError, match="'b' has vectors of other functions than 'a'"):
        tvl.plots.plot_geometry({"a": one, "b": other})


def test_the_script_draws_models_of_a_task_together(script: Script, tmp_path: Path) -> None:
    models = ("linear-tvp", "sinusoid-vanilla", "sinusoid-tvp")
    small = ("--functions", 6, "--contexts", 4, "--examples", 3, "--layer", 2, "--device", "cpu")
    ended = script("geometry.py", *models, *small, "--out", tmp_path)
    assert ended.code == 0, ended.error
    results = tvl.results.load_results(Geometry, tmp_path / "geometry.nc")
    assert list(results) == list(models)
    sizes = {name: dict(each.data.sizes) for name, each in results.items()}
    assert all(each["function"] == 6 and each["episode"] == 24 for each in sizes.values())
    page = (tmp_path / "geometry.html").read_text()
    assert page.count("Do the vectors of one function lie together?") == 2
    assert page.count("How much do vectors differ between functions") == 2
    assert "phase" in page


@pytest.mark.parametrize("page", ["geometry", "decodability"])
def test_the_code_of_the_pages_runs(page: str) -> None:
    namespace: dict[str, Any] = {"__name__": "documentation"}
    for block in python_blocks(f"docs/analyses/{page}.md"):
        exec(compile(block, page, "exec"), namespace)
    assert namespace["figure"].data
