"""Shifts that leave least squares exact leave its errors at 0; ratios are those of hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator
from transformer_lens import HookedRootModule

import tvlens as tvl
from tests.planted import planted_model
from tests.running import Script
from tests.task_conformance import episodes_and_queries
from tvlens.analysis.distribution_shifts import measure_distribution_shifts
from tvlens.interventions import task_vector_predictions
from tvlens.models import Positions
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import DistributionShifts, difference_table
from tvlens.shifts import (
    ContextLength,
    HeldOutOffsets,
    OrthogonalQuery,
    ScaledInputs,
    Shift,
    ShuffledOrder,
    SkewedInputs,
    Where,
)

TASK = tvl.LinearRegression(d=2)
LAYER = 1
SHIFTS: tuple[Shift, ...] = (
    *(ScaledInputs(3.0, where) for where in Where),
    ShuffledOrder(),
    OrthogonalQuery(),
    ContextLength(16),
)


def shifts_of(
    model: HookedRootModule, shifts: tuple[Shift, ...] | None = SHIFTS, batch: int = 64
) -> DistributionShifts:
    generator = Generator().manual_seed(3)
    data = episodes_and_queries(TASK, shots=9, batch=batch)
    return measure_distribution_shifts(
        model, TASK, tvl.ZXY, *data, layer=LAYER, generator=generator, shifts=shifts
    )


@pytest.fixture(scope="module")
def planted() -> DistributionShifts:
    return shifts_of(planted_model(2, 1, 2, TASK.d), None)


@pytest.fixture(scope="module")
def untrained() -> DistributionShifts:
    return shifts_of(untrained_model(), None)


def untrained_model(n_ctx: int = 64) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.5, n_ctx=n_ctx)
    return tvl.Experiment(TASK, tvl.ZXY, config).build_model(device="cpu")


def test_least_squares_bears_every_shift_that_leaves_it_determined(
    planted: DistributionShifts,
) -> None:
    """As many independent examples as dimensions determine w, whatever they and w are."""
    cut = {"query orthogonal to context", "1 examples", "x in half the space, context"}
    for name in planted.data["shift"].values.tolist():
        errors = planted.data.sel(shift=name)
        if name in cut:
            assert float(errors.icl.mean()) > 0.1, name
        else:
            assert float(errors[["icl", "tvp"]].to_array().max()) < 1e-7, name


def test_of_a_query_orthogonal_to_the_context_least_squares_knows_nothing(
    planted: DistributionShifts,
) -> None:
    errors = planted.data.sel(shift="query orthogonal to context")
    assert int(errors.examples) == TASK.d - 1
    assert str(errors.reference.values) == "1 examples"
    np.testing.assert_allclose(errors.tvp, errors.zero_shot, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(errors.icl, errors.oracle, rtol=1e-4, atol=1e-6)


def test_half_a_space_of_context_leaves_the_other_half_unknown(
    planted: DistributionShifts,
) -> None:
    # 1 of 2 dimensions is known: half of the error of knowing nothing is left.
    remaining = planted.remaining().sel(shift="x in half the space, context")
    assert float(remaining.low.sel(mode="oracle")) < 0.5 < float(remaining.high.sel(mode="oracle"))


def test_ratios_are_those_of_means(untrained: DistributionShifts) -> None:
    means = untrained.data.mean("episode")
    name = "x times 3, query"
    remaining = untrained.remaining().sel(shift=name)
    expected = means.tvp.sel(shift=name) / means.zero_shot.sel(shift=name)
    assert float(remaining.estimate.sel(mode="tvp")) == pytest.approx(float(expected), rel=1e-5)
    assert bool((untrained.remaining().estimate.sel(mode="zero_shot") == 1).all())
    increase = untrained.increase()
    for shift, reference in ((name, "standard"), ("query orthogonal to context", "1 examples")):
        expected = means.icl.sel(shift=shift) / means.icl.sel(shift=reference) - 1
        cell = increase.sel(mode="icl", shift=shift)
        assert float(cell.estimate) == pytest.approx(float(expected), rel=1e-4)
        assert cell.low < cell.estimate < cell.high
    standard = increase.sel(shift="standard")
    assert bool((standard.to_array() == 0).all())
    table = untrained.table()
    assert table.loc[shift, "icl_increase"] == pytest.approx(float(cell.estimate))
    assert table.loc["w heavy-tailed", "oracle_knows"] == 0


def test_of_no_error_there_is_no_relative_increase(planted: DistributionShifts) -> None:
    data = planted.data.copy(deep=True)
    data["icl"] = data.icl.where(data["shift"] != "standard", 0.0)
    increase = DistributionShifts(data).increase().sel(mode="icl")
    assert bool(increase.sel(shift="x times 2, both").to_array().isnull().all())


def test_the_standard_and_the_scores_are_there(untrained: DistributionShifts) -> None:
    scores = untrained.scores()
    assert scores.loc["tvp: standard", "estimate"] == pytest.approx(
        float(untrained.data.tvp.sel(shift="standard").mean()), rel=1e-6
    )
    assert len(scores) == 2 * untrained.data.sizes["shift"]
    assert "standard" not in untrained.shifts and "1 examples" not in untrained.shifts


def test_an_answer_does_not_depend_on_what_else_is_asked(
    planted: DistributionShifts,
) -> None:
    few = shifts_of(planted_model(2, 1, 2, TASK.d), (SkewedInputs(), ShuffledOrder()))
    xr.testing.assert_equal(few.data, planted.data.sel(shift=few.data["shift"].values))


def test_a_shorter_context_that_is_asked_for_is_compared_with_the_standard() -> None:
    found = shifts_of(planted_model(2, 1, 2, TASK.d), (ContextLength(1), OrthogonalQuery()))
    references = dict(zip(found.data["shift"].values, found.data.reference.values, strict=True))
    assert references["1 examples"] == "standard"
    assert references["query orthogonal to context"] == "1 examples"
    knows_one = found.data.icl.sel(shift="1 examples").mean()
    np.testing.assert_allclose(knows_one, 1 - 1 / TASK.d, atol=0.3)  # The law of least squares.


def test_only_what_drew_the_same_can_be_compared() -> None:
    model, data = planted_model(2, 1, 2, TASK.d), episodes_and_queries(TASK, shots=9, batch=4)
    first, second = (
        measure_distribution_shifts(
            model,
            TASK,
            tvl.ZXY,
            *data,
            layer=LAYER,
            generator=Generator().manual_seed(seed),
            shifts=(SkewedInputs(),),
        )
        for seed in (1, 2)
    )
    with pytest.raises(tvl.InputError, match="different episodes or draws"):
        first.compare(second)


def test_longer_contexts_need_positions_for_them() -> None:
    short = untrained_model(n_ctx=3 * 8 + 2)
    assert shifts_of(short, (ShuffledOrder(),), batch=4).data.sizes["shift"] == 2
    ran = []
    handle = short.blocks[0].register_forward_hook(lambda *_: ran.append(True))
    with pytest.raises(tvl.InputError, match=r"'16 examples' needs .* 50 tokens.*takes 26"):
        shifts_of(short, (ShuffledOrder(), ContextLength(16)), batch=4)
    handle.remove()
    assert not ran
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, positions=Positions.ROTARY)
    rotary = tvl.Experiment(TASK, tvl.ZXY, config).build_model(device="cpu")
    longer = shifts_of(rotary, (ContextLength(40),), batch=4)
    assert longer.data.examples.values.tolist() == [8, 40]


def test_a_shift_that_does_not_fit_is_refused() -> None:
    with pytest.raises(tvl.InputError, match="TokenOffset can take it"):
        shifts_of(untrained_model(), (ShuffledOrder(), HeldOutOffsets()), batch=4)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_every_format_asks_the_shifted_queries(format: tvl.TokenFormat) -> None:
    """By hand: shift, then run the two prompts of each episode with hooks."""
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.5)
    model = tvl.Experiment(TASK, format, config).build_model(device="cpu")
    episodes, queries = episodes_and_queries(TASK, shots=9, batch=6)
    result = measure_distribution_shifts(
        model,
        TASK,
        format,
        episodes,
        queries,
        layer=LAYER,
        generator=Generator().manual_seed(0),
        shifts=[ScaledInputs(3.0, Where.QUERY)],
    )
    x = torch.cat([episodes.x[:, :-1], 3 * episodes.x[:, -1:]], 1)
    with torch.inference_mode():
        asked = tvl.Episodes(x, episodes.y, TASK.apply(episodes.params, x), episodes.params)
        x = torch.cat([episodes.x[:, :-1], 3 * queries.x[:, -1:]], 1)
        fresh = tvl.Episodes(x, episodes.y, TASK.apply(episodes.params, x), episodes.params)
        site = tvl.Site(LAYER, format.carrier)
        tvp = task_vector_predictions(model, format, asked, fresh, site)[:, -1]
        prompt = format.context(asked)
        icl = model(prompt.inputs, prompt.position_ids)[:, -1]
        errors = {
            "tvp": TASK.error(tvp, fresh.target[:, -1]),
            "icl": TASK.error(icl, asked.target[:, -1]),
        }
    for mode, expected in errors.items():
        measured = result.data[mode].sel(shift="x times 3, query")
        np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=1e-5)


def test_differences_are_paired_and_counted(
    planted: DistributionShifts, untrained: DistributionShifts
) -> None:
    table = difference_table({"planted": planted, "untrained": untrained})
    assert set(table.cells) == {2 * planted.data.sizes["shift"]} == {len(table)}
    row = table.set_index(["mode", "shift"]).loc[("icl", "x skewed, both")]
    values = (untrained.data.icl - planted.data.icl).sel(shift="x skewed, both")
    assert row.estimate == pytest.approx(float(values.mean()), rel=1e-5)
    assert row.low < row.estimate < row.high and row.q >= row.p
    with pytest.raises(tvl.InputError, match="same episodes and cells"):
        planted.compare(shifts_of(planted_model(2, 1, 2, TASK.d)))


def test_a_saved_result_is_the_same(planted: DistributionShifts, tmp_path: Path) -> None:
    planted.save(tmp_path / "shifts.nc")
    loaded = DistributionShifts.load(tmp_path / "shifts.nc")
    xr.testing.assert_identical(loaded.data, planted.data)


def test_figures_show_the_numbers(
    planted: DistributionShifts, untrained: DistributionShifts
) -> None:
    results = {"a": planted, "b": untrained}
    drawn: Any = tvl.plots.plot_distribution_shifts(results)
    bars = [trace for trace in drawn.data if trace.name == "task vector"]
    for trace, result in zip(bars, results.values(), strict=True):
        share = result.remaining().sel(mode="tvp")
        np.testing.assert_array_equal(trace.x, share.estimate)
        np.testing.assert_array_equal(trace.customdata[:, 1], share.high)
        assert list(trace.y) == share["shift"].values.tolist()
    drawn = tvl.plots.plot_shift_differences(results)
    dots, differences = drawn.data[0], untrained.compare(planted).sel(mode="icl")
    zero = planted.data.zero_shot.mean("episode")
    np.testing.assert_allclose(dots.x, differences.estimate / zero, rtol=1e-5)
    filled = [colour != "#ffffff" for colour in dots.marker.color]
    assert filled == (differences.q < 0.05).values.tolist()
    assert f"{2 * planted.data.sizes['shift']} differences" in drawn.layout.title.text
    assert planted._repr_html_().startswith("<div")


def test_the_script_asks_and_compares(script: Script, tmp_path: Path) -> None:
    arguments = ["offset-vanilla", "offset-tvp", "--episodes", 24, "--device", "cpu"]
    ended = script("distribution_shifts.py", *arguments, "--out", tmp_path)
    assert ended.code == 0, ended.error
    file = tmp_path / "distribution_shifts.nc"
    results = tvl.results.load_results(DistributionShifts, file)
    names = ["context in another order", "24 examples", "query repeats an example"]
    assert results["offset-tvp"].shifts == [*names, "held-out offsets"]
    assert (tmp_path / "distribution_shifts_differences.csv").exists()
    assert (tmp_path / "distribution_shifts.html").exists()
