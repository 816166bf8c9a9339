"""What emerges along a series of planted models is what was planted at each step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens import HookedRootModule

import tvlens as tvl
from tests.planted import planted_model
from tests.running import Script
from tests.tiny_runs import TINY
from tvlens.analysis.emergence import measure_emergence
from tvlens.analysis.shared.clusters import measure_geometry
from tvlens.interventions.vectors import read_task_vectors
from tvlens.results import Emergence, Geometry, LocalityMap

D, SHOTS = 2, 5
PLANTED = {0: (1, 2), 10: (1, 4), 100: (2, 3)}
"""Steps, and the blocks that learn and that answer."""


def emerge(models: list[tuple[int, HookedRootModule]], **options: Any) -> Emergence:
    task, generator = tvl.LinearRegression(d=D), torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(task, 256, SHOTS, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    contexts = tvl.sample_contexts(task, 4, 5, SHOTS, generator=generator)
    return measure_emergence(
        models,
        task,
        tvl.ZXY,
        episodes,
        queries,
        contexts,
        **{"layer": 2, "generator": generator, **options},
    )


def planted_without_a_vector() -> Emergence:
    """At layer 2 the vector is not learned yet."""
    return emerge([(step, planted_model(4, 3, 4, D)) for step in (0, 10)])


@pytest.fixture(scope="module")
def planted() -> Emergence:
    return emerge([(step, planted_model(4, *blocks, D)) for step, blocks in PLANTED.items()])


def test_recovery_at_every_step_is_where_the_vector_was_planted(
    planted: Emergence,
) -> None:
    recovery = planted.recovery().estimate.sel(role="z")
    for step, (learn, answer) in PLANTED.items():
        expected = [float(learn <= layer < answer) for layer in range(5)]
        np.testing.assert_allclose(recovery.sel(step=step), expected, atol=1e-5)


def test_vectors_differ_between_functions_alone_once_they_are_learned(
    planted: Emergence,
) -> None:
    eta2 = planted.data.eta2.sel(bound="estimate")
    for step, (learn, _) in PLANTED.items():
        assert np.isnan(eta2.sel(step=step, layer=range(learn))).all()  # All vectors are the same.
        np.testing.assert_allclose(eta2.sel(step=step, layer=range(learn, 5)), 1, atol=1e-6)


def test_errors_are_those_of_the_maps(planted: Emergence) -> None:
    errors = planted.errors()
    np.testing.assert_allclose(errors.icl, 0, atol=1e-9)
    for step in PLANTED:
        data = planted.map_at(step).data.isel(examples=-1)
        np.testing.assert_allclose(
            errors.tvp.sel(step=step), data.tvp.sel(role="z").mean("episode"), rtol=1e-6
        )


def test_half_of_the_gain_is_dated_by_the_first_model_that_has_it(
    planted: Emergence,
) -> None:
    scores = planted.scores()
    assert scores.loc["recovery", "estimate"] == pytest.approx(1, abs=1e-5)
    assert scores.loc["steps_to_tvp", "estimate"] == 10  # Layer 2 carries it from step 10 on.
    assert scores.loc["steps_to_icl", "estimate"] == 0
    assert np.isnan(planted_without_a_vector().scores().loc["steps_to_tvp", "estimate"])


def test_where_nothing_emerges_no_step_is_named() -> None:
    generator = torch.Generator().manual_seed(3)
    config = tvl.TransformerConfig(n_layers=3, d_model=16, n_heads=2)
    model = tvl.HookedTransformer(config, tvl.ZXY.d_in(D, 1), 1, generator=generator)
    scores = emerge([(0, model), (10, model), (100, model)]).scores()["estimate"].to_dict()
    assert np.isnan([scores["steps_to_icl"], scores["steps_to_tvp"]]).all()
    assert scores["steps_to_eta2"] == 0  # Whatever is above chance was there from the start.


def test_every_model_gets_the_same_random_controls() -> None:
    model = planted_model(3, 1, 2, D)
    twice = emerge([(0, model), (7, model)])
    first, second = (twice.map_at(step).data for step in (0, 7))
    assert first.drop_attrs().identical(second.drop_attrs())


def test_turned_points_differ_by_more_than_a_rotation_only(
    planted_map: LocalityMap,
) -> None:
    task, generator = tvl.LinearRegression(d=D), torch.Generator().manual_seed(0)
    contexts = tvl.sample_contexts(task, 4, 5, SHOTS, generator=generator)
    vectors = read_task_vectors(planted_model(4, 1, 3, D), task, tvl.ZXY, contexts)
    rng = np.random.default_rng(0)
    last = measure_geometry(vectors, layer=2, generator=rng)
    axes = last.data.sizes["axis"]

    def turned() -> Geometry:
        rotation = np.linalg.qr(rng.normal(size=(axes, axes)))[0]
        scores = last.data.scores.transpose(..., "axis")
        return Geometry(last.data.assign(scores=scores.copy(data=scores.values @ rotation)))

    steps = range(5)
    geometries = {step: turned() for step in steps[:-1]} | {steps[-1]: last}
    found = Emergence.from_parts(dict.fromkeys(steps, planted_map), geometries).data.coordinates
    expected = found.sel(step=steps[-1])
    assert np.linalg.matrix_rank(expected) > 1
    for step in steps:
        np.testing.assert_allclose(found.sel(step=step), expected, atol=1e-5)


def test_a_single_model_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(tvl.InputError, match="at least 2 models along a training, got 1"):
        emerge([(0, planted_model(3, 1, 2, D))])


def test_it_is_saved_and_comes_back(planted: Emergence, tmp_path: Path) -> None:
    planted.save(tmp_path / "emergence.nc")
    again = Emergence.load(tmp_path / "emergence.nc")
    assert again.data.identical(planted.data)
    assert again.scores().equals(planted.scores())


def test_curves_and_frames_show_its_numbers(planted: Emergence) -> None:
    curves: Any = tvl.plots.plot_emergence({"a": planted, "b": planted})
    icl = next(trace for trace in curves.data if trace.name == "in context")
    np.testing.assert_array_equal(icl.y, planted.errors().icl)
    np.testing.assert_array_equal(icl.x, [0.5, 10, 100])
    moving: Any = tvl.plots.plot_emergence_animation(planted)
    assert [frame.name for frame in moving.frames] == ["0", "10", "100"]
    assert [step.label for step in moving.layout.sliders[0].steps] == ["0", "10", "100"]
    for step, frame in zip(planted.steps, moving.frames, strict=True):
        recovery = planted.recovery().estimate.sel(step=step)
        np.testing.assert_array_equal(frame.data[0].z, recovery)
        np.testing.assert_array_equal(
            frame.data[1].y, planted.data.coordinates.sel(step=step, axis=1)
        )


def test_the_script_follows_a_run(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tvl.train(TINY, folder, device="cpu", snapshots=3)
    options = ("--episodes", 16, "--functions", 3, "--contexts", 3, "--device", "cpu")
    ended = script("emergence.py", folder, *options, "--out", tmp_path)
    assert ended.code == 0, ended.error
    found = tvl.results.load_results(Emergence, tmp_path / "emergence.nc")["run"]
    assert found.steps == [0, *sorted({1, TINY.train.steps})]
    assert "steps_to_tvp" in (tmp_path / "emergence.csv").read_text()
    refused = script("emergence.py", "linear-tvp", *options, "--out", tmp_path)
    assert refused.code == 2
    assert "No weights were kept" in refused.error
