"""Patch maps against a planted model, for which the right map is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.planted import planted_model
from tests.random_models import data, double_model, each_format
from tests.running import Script
from tests.wrapped import Wrapped
from tvlens.analysis.patch_map import measure_patch_map
from tvlens.prompts import ZXY, TokenFormat
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import PatchMap
from tvlens.tasks import relabelled

TASK = tvl.LinearRegression(d=3)
LAYERS, LEARN, ANSWER = 4, 2, 4


@pytest.fixture(scope="module")
def planted() -> PatchMap:
    generator = torch.Generator().manual_seed(0)
    # Enough examples to know the function.
    episodes = tvl.sample_episodes(TASK, 32, TASK.d + 2, generator=generator)
    corrupted = relabelled(TASK, episodes, generator=generator)
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    return measure_patch_map(model, TASK, ZXY, episodes, corrupted)


def test_the_function_is_where_it_was_planted(planted: PatchMap):
    restored = planted.restored().estimate.sel(patch="patched")
    for layer in range(LAYERS + 1):
        expected = {"z": LEARN <= layer < ANSWER, "y": layer < LEARN, "x": layer == ANSWER}
        for role, everything in expected.items():
            found = restored.sel(layer=layer, role=role, tokens="all")
            np.testing.assert_allclose(
                found, float(everything), atol=1e-6, err_msg=f"{role}{layer}"
            )
        for role in ("z", "x"):  # Of the tokens of the query, only the last are looked at.
            last, every = (restored.sel(layer=layer, role=role, tokens=t) for t in ("last", "all"))
            np.testing.assert_array_equal(last, every)
    scores = planted.scores()["estimate"]
    np.testing.assert_allclose(scores[["clean", "z_last", "y_all"]], [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(scores[["x_last", "x_all"]], 0, atol=1e-6)


def test_one_label_of_many_restores_less_than_all(planted: PatchMap):
    y = planted.restored().estimate.sel(patch="patched", role="y", layer=1)
    assert y.sel(tokens="last") < 0.9
    assert planted.data.corrupt.mean() > 1


def test_forgetting_restores_without_knowing(planted: PatchMap):
    """The mean of the weights over functions answers as if there were few examples."""
    data = planted.data
    removed = data.removed.sel(role="z", tokens="last")
    held = removed.sel(layer=slice(LEARN, ANSWER - 1))
    assert (held.mean("episode") < data.corrupt.mean()).all()
    assert (held.mean("episode") > 0.5).all()
    for layer in (0, 1, ANSWER):
        np.testing.assert_array_equal(removed.sel(layer=layer), data.corrupt)


@each_format
def test_any_model_has_the_map_that_the_fast_path_finds(format: TokenFormat):
    model, (episodes, _, others) = double_model(format), data()
    fast = measure_patch_map(model, TASK, format, episodes, others)
    slow = measure_patch_map(Wrapped(model), TASK, format, episodes, others)
    xr.testing.assert_allclose(fast.data, slow.data, rtol=1e-5, atol=1e-6)
    answer = fast.restored().estimate.sel(role=format.answer.value, tokens="last")
    top = answer.sel(patch="patched", layer=3)
    np.testing.assert_array_equal(
        fast.data.patched.sel(role=format.answer.value, tokens="last", layer=3), fast.data.clean
    )
    assert np.isnan(top) or abs(float(top) - 1) < 1e-6


def test_all_labels_of_the_embedding_make_the_context_clean():
    model, (episodes, _, others) = double_model(), data()
    found = measure_patch_map(model, TASK, ZXY, episodes, others).data
    all_y = found.patched.sel(layer=0, role="y", tokens="all")
    np.testing.assert_allclose(all_y, found.clean, rtol=1e-6)
    for role in ("z", "x"):
        unchanged = found.patched.sel(layer=0, role=role)
        corrupt = found.corrupt.broadcast_like(unchanged)
        np.testing.assert_allclose(unchanged, corrupt, rtol=1e-6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    model, (episodes, _, others) = double_model(), data()
    whole = measure_patch_map(model, TASK, ZXY, episodes, others)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 30)
    again = measure_patch_map(model, TASK, ZXY, episodes, others)
    xr.testing.assert_allclose(whole.data, again.data, rtol=1e-6)


def test_corrupted_episodes_must_be_the_same_inputs_under_other_functions():
    model, (episodes, queries, _) = double_model(), data()
    with pytest.raises(tvl.InputError, match="show the very function"):
        measure_patch_map(model, TASK, ZXY, episodes, episodes)
    with pytest.raises(tvl.InputError, match="other inputs"):
        measure_patch_map(model, TASK, ZXY, episodes, queries)


def test_relabelled_episodes_are_as_good_as_others():
    generator = torch.Generator().manual_seed(3)
    task = tvl.LinearRegression(d=3, noise=0.5)
    episodes = tvl.sample_episodes(task, 2000, 2, generator=generator)
    others = relabelled(task, episodes, generator=generator)
    assert torch.equal(others.x, episodes.x)
    torch.testing.assert_close(others.target, task.apply(others.params, episodes.x))
    assert abs(float((others.y - others.target).std()) - task.noise) < 0.02
    together = torch.stack([episodes.params.flatten(), others.params.flatten()])
    assert abs(float(together.corrcoef()[0, 1])) < 0.05


def test_a_result_is_saved_and_loaded_identically(planted: PatchMap, tmp_path: Path):
    planted.save(tmp_path / "map.nc")
    assert PatchMap.load(tmp_path / "map.nc").data.identical(planted.data)


def test_the_figure_shows_the_map_above_its_control(planted: PatchMap):
    drawn: Any = tvl.plots.plot_patch_map({"a": planted, "b": planted})
    restored = planted.restored().transpose("patch", "layer", "role", "tokens")
    assert len(drawn.data) == 4
    for trace, patch in zip(drawn.data[:2], ("patched", "removed"), strict=True):
        grid = restored.sel(patch=patch)
        np.testing.assert_array_equal(trace.z, grid.estimate.values.reshape(LAYERS + 1, 6))
        np.testing.assert_array_equal(trace.customdata[..., 0].ravel(), grid.low.values.ravel())
        assert list(trace.x) == ["last z", "all z", "last x", "all x", "last y", "all y"]
        assert list(trace.y) == ["0", "1", "2", "3", "4"], (
            "plotly draws the first row at the bottom"
        )
    titles = [each.text for each in drawn.layout.annotations]
    assert titles[0].startswith("a: ") and titles[2].endswith("(control)")
    assert drawn.layout.coloraxis.cmin == -drawn.layout.coloraxis.cmax


def test_the_script_maps_models_that_ship(script: Script, tmp_path: Path):
    arguments = ["offset-tvp", "--episodes", 10, "--examples", 3, "--out", tmp_path]
    ended = script("patch_map.py", *arguments)
    assert ended.code == 0, ended.error
    endings = {f"patch_map.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings
    found = tvl.results.load_results(PatchMap, tmp_path / "patch_map.nc")["offset-tvp"]
    assert float(found.data.corrupt.mean()) > float(found.data.clean.mean())


def test_a_model_of_one_block_has_errors_and_no_layer_to_choose() -> None:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(TASK, 16, 4, generator=generator)
    corrupted = relabelled(TASK, episodes, generator=generator)
    config = tvl.TransformerConfig(n_layers=1, d_model=8, n_heads=2)
    model = tvl.HookedTransformer(config, ZXY.d_in(TASK.d_x, 1), 1, generator=generator)
    scores = measure_patch_map(model, TASK, ZXY, episodes, corrupted).scores()
    assert list(scores.index) == ["clean", "corrupt"]
