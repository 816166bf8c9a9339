"""The locality map and the ICL curve against a planted model, for which both are known."""

import numpy as np
import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.planted import planted_model
from tests.planted_map import ANSWER, LAYERS, LEARN, TASK, map_planted
from tvlens.analysis.icl_curve import measure_icl_curve
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.interventions import task_vector_predictions
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import ICLCurve
from tvlens.results.intervals import interval, resampled_means

HOLDS = range(LEARN, ANSWER)


def test_recovery_is_one_exactly_where_the_vector_was_planted(
    planted_map: tvl.results.LocalityMap,
) -> None:
    errors = planted_map.data.tvp.sel(role="z", examples=5)
    for layer in planted_map.data.layer.values:
        if layer in HOLDS:
            assert errors.sel(layer=layer).max() < 1e-10
        else:
            zero_shot = planted_map.data.zero_shot.sel(examples=5)
            np.testing.assert_array_equal(errors.sel(layer=layer), zero_shot)
    recovery = planted_map.recovery().estimate.sel(role="z", examples=5)
    expected = [float(layer in HOLDS) for layer in recovery.layer.values]
    np.testing.assert_allclose(recovery, expected, atol=1e-6)


def test_scores_of_the_planted_model(planted_map: tvl.results.LocalityMap) -> None:
    scores = planted_map.scores()
    assert planted_map.best_layer() in HOLDS
    for name in ("recovery", "strength", "sufficiency", "necessity", "locality"):
        np.testing.assert_allclose(scores.loc[name], 1, atol=1e-6, err_msg=name)
    # Two layers share the vector evenly, and one token has all of it.
    np.testing.assert_allclose(scores.loc["layer_spread"], 2, atol=1e-6)
    np.testing.assert_allclose(scores.loc["token_spread"], 1, atol=1e-6)


def test_the_icl_error_of_the_planted_model_is_the_oracle(
    planted_map: tvl.results.LocalityMap,
) -> None:
    np.testing.assert_allclose(planted_map.data.icl, planted_map.data.oracle, atol=1e-4)


def test_spreads_are_empty_where_there_is_nothing_to_spread(
    planted_map: tvl.results.LocalityMap,
) -> None:
    data = planted_map.data.copy(deep=True)
    data["tvp"] = data.zero_shot.broadcast_like(data.tvp).transpose(*data.tvp.dims)
    scores = tvl.results.LocalityMap(data).scores()
    assert bool(scores.loc[["layer_spread", "token_spread"]].isna().all(axis=None))
    assert bool((scores.loc["recovery"] == 0).all())


def test_controls_carry_no_task(planted_map: tvl.results.LocalityMap) -> None:
    held = planted_map.data.isel(examples=-1).sel(layer=list(HOLDS))
    zero_shot = float(held.zero_shot.mean())
    # w' . x of an independent w' adds its own variance: twice the error of predicting 0.
    assert float(held.shuffled.mean()) == pytest.approx(2 * zero_shot, rel=0.25)
    assert float(held.random.mean()) > zero_shot
    np.testing.assert_array_equal(
        planted_map.data.untrained.sel(layer=0), planted_map.data.zero_shot
    )


def test_the_answer_may_ignore_all_but_the_carrier_once_the_vector_is_there(
    planted_map: tvl.results.LocalityMap,
) -> None:
    assert float(planted_map.data.window.max()) < 1e-10


def test_after_the_last_layer_nothing_is_masked_or_ablated(
    planted_map: tvl.results.LocalityMap,
) -> None:
    last = planted_map.data.isel(examples=-1)
    np.testing.assert_array_equal(last.window.sel(layer=LAYERS), last.icl)
    np.testing.assert_array_equal(last.ablated.sel(layer=LAYERS), last.icl)


def test_an_ignorant_carrier_costs_everything_until_it_was_read(
    planted_map: tvl.results.LocalityMap,
) -> None:
    ablated = planted_map.data.ablated.mean("episode")
    assert float(ablated.sel(layer=list(HOLDS)).min()) > 0.5
    assert float(ablated.sel(layer=list(range(ANSWER, LAYERS + 1))).max()) < 1e-10


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_every_format_can_be_mapped_and_has_the_exact_identities(
    format: tvl.TokenFormat,
) -> None:
    experiment = tvl.Experiment(
        TASK, format, tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.3)
    )
    model = experiment.build_model(device="cpu")
    generator = torch.Generator().manual_seed(1)
    episodes = tvl.sample_episodes(TASK, 32, 4, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    data = measure_locality_map(
        model, TASK, format, episodes, queries, untrained=model, generator=generator
    ).data
    first = format.first_length(format.carrier)
    carrier = data.tvp.sel(role=format.carrier.value)
    np.testing.assert_array_equal(carrier, data.untrained)
    assert bool(carrier.isel(examples=slice(0, first)).isnull().all())
    np.testing.assert_array_equal(data.window.sel(layer=2), data.icl.isel(examples=-1))
    if format.carrier is not format.answer:
        untouched = data.zero_shot.where(data.examples >= first)
        np.testing.assert_array_equal(data.untrained.sel(layer=2), untouched)


def test_the_curve_of_a_map_is_the_icl_curve_at_its_best_layer(
    planted_map: tvl.results.LocalityMap,
) -> None:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(TASK, 256, 6, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    curve = measure_icl_curve(
        model, TASK, tvl.ZXY, episodes, queries, layer=planted_map.best_layer()
    )
    for name in ("icl", "tvp", "zero_shot", "oracle"):
        np.testing.assert_array_equal(curve.data[name], planted_map.curve().data[name])


def test_recovery_is_undefined_where_context_gives_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(1, 0.1, (64, 2)), dims=("episode", "examples"))
    tvp = noise.expand_dims(layer=[0, 1], role=["z"]).transpose(
        "episode", "layer", "role", "examples"
    )
    data = {"tvp": tvp, "icl": noise + rng.normal(0, 0.1, (64, 2)), "zero_shot": noise}
    result = tvl.results.LocalityMap(
        xr.Dataset(data, {"examples": [0, 1]}, attrs={"carrier": "z"})
    ).recovery()
    assert bool(result.estimate.isnull().all())


def test_the_layer_of_the_strength_is_chosen_on_other_episodes() -> None:
    """With no vector anywhere, the best of many layers looks good and the strength does not."""
    rng = np.random.default_rng(0)
    shape = (100, 40, 1, 1)
    dims = ("episode", "layer", "role", "examples")
    base = {"zero_shot": np.ones((100, 1)), "icl": np.zeros((100, 1)), "oracle": np.zeros((100, 1))}
    data = {name: (("episode", "examples"), value) for name, value in base.items()}
    data |= {"tvp": (dims, rng.normal(1, 1, shape))}
    data |= {name: (("episode", "layer"), np.ones(shape[:2])) for name in ("window", "ablated")}
    data |= {"ignorant": ("episode", np.ones(100))}
    controls = ("shuffled", "random", "untrained")
    data |= {name: (("episode", "layer", "examples"), np.ones(shape[:3])) for name in controls}
    coords = {"role": ["z"], "examples": [3], "layer": range(40)}
    scores = tvl.results.LocalityMap(xr.Dataset(data, coords, {"carrier": "z"})).scores()
    assert scores.loc["recovery", "estimate"] > 0.15
    assert abs(float(scores.loc["strength", "estimate"])) < 0.15
    assert scores.loc["strength", "low"] < 0 < scores.loc["strength", "high"]


def test_bootstrap_intervals_cover_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 2, (80, 400))
    low, high = interval(resampled_means(samples, resamples=400))
    covered = np.mean((low < 3) & (high > 3))
    assert covered == pytest.approx(0.95, abs=0.04)
    standard_error = samples.std(0) / np.sqrt(80)
    assert np.mean((high - low) / (2 * 1.96 * standard_error)) == pytest.approx(1, abs=0.03)


def test_a_saved_result_is_reloaded_identically(
    planted_map: tvl.results.LocalityMap, tmp_path
) -> None:
    planted_map.save(tmp_path / "map.nc")
    assert tvl.results.LocalityMap.load(tmp_path / "map.nc").data.identical(planted_map.data)
    tvl.results.save_results({"a": planted_map, "b": planted_map}, tmp_path / "maps.nc")
    again = tvl.results.load_results(tvl.results.LocalityMap, tmp_path / "maps.nc")
    assert list(again) == ["a", "b"]
    assert again["b"].data.identical(planted_map.data)


def test_a_damaged_or_foreign_file_is_refused(
    planted_map: tvl.results.LocalityMap, tmp_path
) -> None:
    path = tmp_path / "map.nc"
    planted_map.save(path)
    with pytest.raises(tvl.InputError, match="holds LocalityMap, expected ICLCurve"):
        ICLCurve.load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(tvl.InputError, match="not a readable netCDF-4 file"):
        tvl.results.LocalityMap.load(path)
    with pytest.raises(tvl.InputError, match="There is no file"):
        tvl.results.LocalityMap.load(tmp_path / "none.nc")


def test_a_map_is_a_function_of_its_episodes() -> None:
    assert map_planted().data.identical(map_planted().data)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
@pytest.mark.parametrize("position_ids", tvl.PositionIds)
def test_a_map_holds_the_errors_of_the_definition(
    format: tvl.TokenFormat, position_ids: tvl.PositionIds
) -> None:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.3)
    model = tvl.Experiment(TASK, format, config).build_model(device="cpu")
    generator = torch.Generator().manual_seed(1)
    episodes = tvl.sample_episodes(TASK, 32, 4, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    data = measure_locality_map(
        model,
        TASK,
        format,
        episodes,
        queries,
        untrained=model,
        generator=generator,
        position_ids=position_ids,
    ).data
    for layer in range(3):
        for role in format.roles:
            predictions = task_vector_predictions(
                model, format, episodes, queries, tvl.Site(layer, role), position_ids
            )
            first = 4 - predictions.shape[1]
            errors = TASK.error(predictions, queries.target[:, first:]).detach().numpy()
            mapped = data.tvp.sel(layer=layer, role=role.value).isel(examples=slice(first, None))
            np.testing.assert_allclose(mapped, errors, atol=1e-5)
