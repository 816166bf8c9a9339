"""Noise curves: least squares has the errors of theory, and summaries those of hand."""

import dataclasses
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
from tests.readme_example import python_blocks
from tests.running import Script
from tests.task_conformance import episodes_and_queries
from tvlens.analysis.noise import measure_noise
from tvlens.interventions.baselines import icl_errors, task_vector_errors, zero_shot_errors
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import NoiseCurves, noise_table
from tvlens.results.noise_curves import first_rise, first_sign_change
from tvlens.shifts import LabelNoise, Noise, OutlierLabels, TokenFlips, Trial, noise_grid

TASK = tvl.LinearRegression(d=2)
EXAMPLES = 8
LAYER = 1
GRID = (LabelNoise(0.0), LabelNoise(0.5), LabelNoise(1.0), OutlierLabels(0.2))


def data_of(
    task: tvl.Task = TASK, batch: int = 300, shots: int = EXAMPLES + 1, seed: int = 0
) -> tuple[tvl.Episodes, tvl.Episodes]:
    return episodes_and_queries(task, batch, shots, seed)


def noise_of(
    model: HookedRootModule, grid: tuple[Noise, ...] = GRID, batch: int = 300, seed: int = 0
) -> NoiseCurves:
    generator = Generator().manual_seed(3)
    data = data_of(batch=batch, seed=seed)
    return measure_noise(model, TASK, tvl.ZXY, *data, layer=LAYER, generator=generator, noises=grid)


@pytest.fixture(scope="module")
def planted() -> NoiseCurves:
    return noise_of(planted_model(2, 1, 2, TASK.d))


@pytest.fixture(scope="module")
def untrained() -> NoiseCurves:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.5)
    return noise_of(tvl.Experiment(TASK, tvl.ZXY, config).build_model(device="cpu"))


def test_level_0_is_exactly_clean(planted: NoiseCurves) -> None:
    for mode in ("icl", "tvp", "zero_shot", "oracle"):
        np.testing.assert_array_equal(
            planted.data[mode].sel(shift="label noise 0"), planted.data[mode].sel(shift="standard")
        )


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_clean_errors_are_those_of_the_baselines(format: tvl.TokenFormat) -> None:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.5)
    model = tvl.Experiment(TASK, format, config).build_model(device="cpu")
    episodes, queries = data_of(batch=20)
    result = measure_noise(
        model, TASK, format, episodes, queries, layer=LAYER, generator=Generator().manual_seed(0)
    )
    clean = result.data.sel(shift="standard")
    with torch.inference_mode():
        expected = {
            "icl": icl_errors(model, TASK, format, episodes),
            "tvp": task_vector_errors(model, TASK, format, episodes, queries, LAYER),
            "zero_shot": zero_shot_errors(model, TASK, format, queries),
        }
    for mode, errors in expected.items():
        last = errors.sel(examples=EXAMPLES).values
        np.testing.assert_allclose(clean[mode].values, last, rtol=1e-4, atol=1e-5)


def test_least_squares_has_the_error_of_theory(planted: NoiseCurves) -> None:
    """E |x (X'X)^-1 X' e|^2 / d = sigma^2 / (n - d - 1), of an inverse Wishart trace."""
    for mode in ("icl", "tvp", "oracle"):
        for level in (0.0, 0.5, 1.0):
            errors = planted.data[mode].sel(shift=f"label noise {level:g}").values.astype(float)
            expected = level**2 / (EXAMPLES - TASK.d - 1)
            if mode == "oracle" and level:
                assert errors.mean() < expected, "ridge is better than least squares"
                continue
            tolerance = 4 * errors.std() / len(errors) ** 0.5 + 1e-9
            assert errors.mean() == pytest.approx(expected, abs=tolerance)


def test_a_corrupted_example_has_the_influence_of_least_squares(
    planted: NoiseCurves,
) -> None:
    """A plain implementation that corrupts the same labels, whatever they are drawn from."""
    episodes, queries = data_of()
    seed = int(torch.randint(2**62, (), generator=Generator().manual_seed(3)))
    for position in (1, 5):
        corrupted = tvl.shifts.CorruptedExample(position)(
            TASK, Trial.of(episodes, queries), generator=Generator().manual_seed(seed)
        ).context
        x, y = corrupted.x.double().numpy(), corrupted.y.double().numpy()
        weights = np.stack(
            [np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(x, y, strict=True)]
        )
        predicted = np.einsum("bd,bdo->bo", episodes.x[:, -1].numpy(), weights)
        expected = (predicted - episodes.target[:, -1].numpy())[:, 0] ** 2 / TASK.d
        measured = planted.curve("corrupted example").icl.sel(level=position)
        np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=1e-6)
        clean = planted.data.icl.sel(shift="standard")
        excess = planted.influence("icl").sel(level=position)
        np.testing.assert_allclose(excess, measured - clean, atol=1e-7)


def test_an_answer_does_not_depend_on_what_else_is_asked(planted: NoiseCurves) -> None:
    fewer = noise_of(planted_model(2, 1, 2, TASK.d), (OutlierLabels(0.2),))
    shared = planted.data.sel(shift=fewer.data["shift"].values)
    xr.testing.assert_equal(fewer.data, shared)


def made_up(*curves: tuple[float, ...], zero: float = 1.0, noise: float = 0.0) -> NoiseCurves:
    """A result of known mean errors at levels 0, 1, 2, .. of one kind, for `icl` and `tvp` alike.

    Args:
        curves: one curve for each episode, or one for all.
    """
    rng = np.random.default_rng(0)
    values = np.array(curves * (60 // len(curves)))
    values = values + noise * rng.standard_normal((len(values), 1))
    levels = list(range(values.shape[1]))
    modes: dict[str, Any] = dict.fromkeys(("icl", "tvp"), (("episode", "shift"), values))
    modes["zero_shot"] = (("episode", "shift"), np.full_like(values, zero))
    modes["oracle"] = (("episode", "shift"), np.zeros_like(values))
    coords = {
        "shift": ["standard", *(f"made up {level}" for level in levels[1:])],
        "kind": ("shift", ["clean", *("made up" for _ in levels[1:])]),
        "level": ("shift", [float(level) for level in levels]),
        "unit": ("shift", ["", *("unit" for _ in levels[1:])]),
    }
    attrs = {"episodes": "made up", "task": "none", "format": "zxy"}
    return NoiseCurves(xr.Dataset(modes, coords=coords, attrs=attrs))


def test_area_and_half_level_by_hand() -> None:
    scores = made_up((0.2, 0.2, 0.5, 0.8), noise=1e-3).scores()
    # Excess 0, 0, 0.3, 0.6: area 0 + 0.15 + 0.45, over a width of 3.
    assert scores.loc["made up: icl area", "estimate"] == pytest.approx(0.2)
    # Half of the gain of 0.8 is lost at an error of 0.6, a third on from 0.5 to 0.8.
    assert scores.loc["made up: icl half level", "estimate"] == pytest.approx(2 + 1 / 3, abs=1e-2)
    low, high = scores.loc["made up: icl half level", ["low", "high"]]
    assert 2.3 < low <= 2 + 1 / 3 + 1e-2 <= high + 2e-2 < 2.4


def test_a_half_level_beyond_the_grid_is_censored_and_without_a_gain_there_is_none() -> None:
    half = "made up: tvp half level"
    scores = made_up((0.2, 0.3, 0.4), noise=1e-3).scores().loc[half]
    assert scores.tolist() == [np.inf, np.inf, np.inf]
    assert bool(made_up((1.0, 1.0, 2.0), noise=0.1).scores().loc[half].isna().all())
    # One episode in three loses all: in some samples of the episodes the mean never gets there.
    mixed = made_up((0.0, 1.5), (0.0, 0.0), (0.0, 0.0), noise=1e-3).scores().loc[half]
    assert mixed.loc["low"] < 1 and mixed.loc["high"] == np.inf


def test_curves_cross_where_their_difference_changes_sign() -> None:
    flat, steep = made_up((0.3, 0.3, 0.3)), made_up((0.1, 0.2, 0.6))
    assert steep.crossing(flat, "made up", "icl") == pytest.approx((1.25, 1.25, 1.25))
    assert flat.crossing(steep, "made up", "icl") == pytest.approx((1.25, 1.25, 1.25))
    above = made_up((0.9, 0.9, 0.9))
    assert flat.crossing(above, "made up", "icl") == (np.inf, np.inf, np.inf)
    table = noise_table({"flat": flat, "steep": steep}).set_index("mode").loc["icl"]
    assert (table.model, table.minus) == ("steep", "flat")
    # Differences -0.2, -0.1, 0.3: area -0.15 + 0.1 over a width of 2.
    assert table.estimate == pytest.approx(-0.025)
    assert table.crossing == pytest.approx(1.25)


def test_first_places_are_linear_between_levels() -> None:
    levels = np.array([0.0, 1.0, 3.0])
    curves = np.array([[-1.0, 1.0, 2.0], [-1.0, -1.0, 1.0], [-1.0, -1.0, -1.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(first_rise(curves, levels), [0.5, 2.0, np.inf, 0.0])
    curves = np.array([[1.0, -3.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [2.0, 1.0, 1.0]])
    np.testing.assert_allclose(first_sign_change(curves, levels), [0.25, 1.0, np.inf, np.inf])


def test_models_are_compared_on_the_same_episodes_only(
    planted: NoiseCurves, untrained: NoiseCurves
) -> None:
    differences = untrained.compare(planted)
    assert differences.attrs["cells"] == 2 * planted.data.sizes["shift"]
    expected = (untrained.data.tvp - planted.data.tvp).mean("episode")
    np.testing.assert_allclose(differences.estimate.sel(mode="tvp"), expected, rtol=1e-5)
    other = noise_of(planted_model(2, 1, 2, TASK.d), seed=1, batch=12)
    with pytest.raises(tvl.InputError, match="same episodes"):
        other.compare(planted)
    with pytest.raises(tvl.InputError, match="same episodes"):
        other.crossing(planted, "label noise", "icl")
    pairs = tvl.results.comparable_pairs({"a": planted, "b": other, "c": untrained})
    assert pairs == [("c", "a")]


class Untouchable(HookedRootModule):
    """A model that must not run."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = planted_model(2, 1, 2, TASK.d).blocks
        self.setup()

    def forward(self, *args: Any) -> None:
        raise AssertionError("the model ran")


@pytest.mark.parametrize(
    ("noises", "layer", "message"),
    [
        ((TokenFlips(0.1),), LAYER, "TokenOffset can take it"),
        ((LabelNoise(1.0), LabelNoise(1.0)), LAYER, "same name"),
        ((LabelNoise(1.0),), 7, "boundaries 0..2"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(noises, layer, message) -> None:
    data, generator = data_of(batch=4), Generator().manual_seed(0)
    with pytest.raises(tvl.InputError, match=message):
        measure_noise(
            Untouchable(), TASK, tvl.ZXY, *data, layer=layer, generator=generator, noises=noises
        )


def test_kinds_of_noise_follow_from_the_labels() -> None:
    for task, kinds in (
        (TASK, ["label noise", "outlier labels"]),
        (tvl.TokenOffset(), ["token flips", "outlier labels"]),
    ):
        grid = noise_grid(task, Trial.of(*data_of(task, batch=4)))
        assert list(dict.fromkeys(noise.kind for noise in grid)) == kinds


def test_a_saved_result_is_the_same(planted: NoiseCurves, tmp_path: Path) -> None:
    planted.save(tmp_path / "noise.nc")
    xr.testing.assert_identical(NoiseCurves.load(tmp_path / "noise.nc").data, planted.data)


def test_figures_show_the_numbers(planted: NoiseCurves, untrained: NoiseCurves) -> None:
    results = {"a": planted, "b": untrained}
    drawn: Any = tvl.plots.plot_noise(results)
    lines = [trace for trace in drawn.data if trace.name == "task vector"]
    kinds = [*planted.kinds, "corrupted example"]
    expected = [(kind, each) for kind in kinds for each in results.values()]
    assert len(lines) == len(expected)
    for line, (kind, result) in zip(lines, expected, strict=True):
        summary = result.summary_of(kind).sel(mode="tvp")
        np.testing.assert_array_equal(line.x, summary.level)
        np.testing.assert_array_equal(line.y, summary.estimate)
        np.testing.assert_array_equal(line.customdata[:, 0], summary.low)
    assert [note.text for note in drawn.layout.annotations[:2]] == ["a", "b"]
    drawn = tvl.plots.plot_noise_differences(results)
    first = next(trace for trace in drawn.data if trace.name == "in context")
    shifts = untrained.names("label noise")
    compared = untrained.compare(planted).sel(mode="icl", shift=shifts)
    np.testing.assert_array_equal(first.y, compared.estimate)
    np.testing.assert_array_equal(first.x, [0, 0.5, 1])
    assert planted._repr_html_().startswith("<div")


def test_the_script_asks_and_compares(script: Script, tmp_path: Path) -> None:
    arguments = ["offset-vanilla", "offset-tvp", "--episodes", 24, "--replaced", "0.2"]
    ended = script("noise.py", *arguments, "--out", tmp_path, "--device", "cpu")
    assert ended.code == 0, ended.error
    results = tvl.results.load_results(NoiseCurves, tmp_path / "noise.nc")
    assert results["offset-tvp"].kinds == ["token flips", "outlier labels"]
    assert float(results["offset-tvp"].data.icl.sel(shift="standard").max()) == 0
    table = (tmp_path / "noise_differences.csv").read_text().splitlines()
    assert len(table) == 1 + 4 and table[1].startswith("offset-tvp,offset-vanilla,token flips")
    assert "<h2>Differences</h2>" in (tmp_path / "noise.html").read_text()


def test_results_of_no_common_episodes_have_no_table(planted: NoiseCurves) -> None:
    assert len(noise_table({"a": planted})) == 0
    assert dataclasses.is_dataclass(GRID[0])


@pytest.mark.parametrize("page", ["noise", "distribution_shifts"])
def test_the_code_of_the_pages_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks(f"docs/analyses/{page}.md")
    exec(compile(block.replace("episodes=128", "episodes=24"), page, "exec"), {"__name__": "page"})
    assert "plotly" in (tmp_path / f"{page}.html").read_text()
    assert "linear-vanilla" in capsys.readouterr().out
