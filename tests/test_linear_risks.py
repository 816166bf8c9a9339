"""Risks of linear transformers, and what each example weighs in their vectors."""

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator

import tvlens as tvl
from tests.transcribed import attention
from tvlens.analysis import dropout_risk, linear_risk
from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.interventions.patching import Site
from tvlens.models import (
    DropoutKind,
    FirstLayer,
    LinearConfig,
    LinearTransformer,
    TokenDropout,
)
from tvlens.prompts import (
    COLUMN_FORMATS,
    INSEPARABLE,
    PAIRWISE,
    SINGLE,
    TRIPLET,
    ColumnFormat,
    Role,
)
from tvlens.results import DropoutRisk, LinearRisk
from tvlens.subjects import Subject, Test
from tvlens.tasks import LowRankRegression, MatrixRegression, fresh_queries, sample_episodes

TASK = MatrixRegression(2)
SKEWED = ((2.0, 0.0), (0.0, 1.0))


def model(
    format: ColumnFormat,
    layers: int,
    examples: int,
    seed: int = 0,
    first: FirstLayer = FirstLayer.FULL,
) -> LinearTransformer:
    generator = Generator().manual_seed(seed)
    config = LinearConfig(layers, first_layer=first)
    return LinearTransformer(config, 2, format, examples, generator=generator)


def episodes(shots: int, batch: int = 6) -> tvl.Episodes:
    return sample_episodes(TASK, batch, shots, generator=Generator().manual_seed(1))


def test_models_that_answer_nothing_have_an_R_of_d():
    models = [model(SINGLE, layers, 3) for layers in (1, 2)]
    for each in models:
        for weight in each.parameters():
            weight.data.zero_()
    result = measure_linear_risk(models, TASK, episodes(5))
    y = episodes(5).target[:, 3].numpy()
    np.testing.assert_allclose(result.data.error, [(y**2).sum(1) / 4] * 2, rtol=1e-5)
    assert result.table().optimum.iloc[0] == pytest.approx(2 * 3 / 6)
    assert result.scores().index.tolist() == ["single-1x3", "single-2x3"]


def test_the_least_R_is_known_where_one_layer_compares():
    inseparable, triplet = INSEPARABLE, TRIPLET
    models = [
        model(inseparable, 2, 3, first=FirstLayer.LIFTS),
        model(inseparable, 3, 3, first=FirstLayer.LIFTS),
        model(triplet, 2, 4, first=FirstLayer.BLIND),
        model(triplet, 2, 3),
    ]
    optima = measure_linear_risk(models, TASK, episodes(5)).data.optimum
    np.testing.assert_allclose(optima, [2 * 3 / 6, np.nan, 2 * 3 / 7, np.nan])


def planted_risk(errors: dict[tuple[str, int], list[np.ndarray]]) -> LinearRisk:
    """R of each seed of each format and depth on all episodes, of 3 examples."""
    runs = [(*kind, seed) for kind, seeds in errors.items() for seed in range(len(seeds))]
    formats, layers, seeds = zip(*runs, strict=True)
    labels = {"format": formats, "layers": layers, "examples": [3] * len(runs), "seed": seeds}
    values = np.stack([each for some in errors.values() for each in some])
    optimum = ("run", [np.nan] * len(runs))
    data = xr.Dataset(
        {"error": (("run", "episode"), values), "optimum": optimum},
        coords={name: ("run", list(values)) for name, values in labels.items()},
        attrs={"d": 1},
    )
    return LinearRisk(data)


def test_formats_compare_by_all_seeds_and_by_the_best_ones():
    """R of pairs: 0.5 and 2.5; of triplets: 1 and 1; of single tokens one layer less: 2."""
    errors = {("pairwise", 2): [0.5, 2.5], ("triplet", 2): [1.0, 1.0], ("single", 1): [2.0]}
    planted = {kind: [np.full(7, each) for each in means] for kind, means in errors.items()}
    order = planted_risk(planted).order().xs(3, level="examples")
    expected = {
        ("P(2) < S(1)", "all"): 0.5,
        ("P(2) < S(1)", "best"): 1.5,
        ("P(2) < S(1)", "best, as the paper"): 1.5,
        ("T(2) < S(1)", "all"): 1.0,
        ("T(2) < S(1)", "best"): 1.0,
        ("T(2) < S(1)", "best, as the paper"): 1.0,
        ("P(2) = T(2): relative difference", "all"): 1 / 3,
        ("P(2) = T(2): relative difference", "best"): -1.0,
        ("P(2) = T(2): relative difference", "best, as the paper"): -1.0,
    }
    assert order.estimate.to_dict() == pytest.approx(expected)
    # All episodes are alike, so what varies is the seed: not at all, or from 0.5 to 2.5.
    assert order.loc[("P(2) < S(1)", "best"), "low"] == pytest.approx(1.5)
    ends = order.loc[("P(2) < S(1)", "all"), ["low", "high"]].tolist()
    assert ends == pytest.approx([-0.5, 1.5])


def test_the_best_seed_is_asked_on_episodes_that_it_was_not_chosen_on():
    """Seeds of pure noise around 1: the least of 20 is below it where it was chosen, else not."""
    noise = 1 + np.random.default_rng(0).normal(size=(20, 4000))
    table = planted_risk({("single", 1): list(noise)}).table().iloc[0]
    assert table.best == pytest.approx(1, abs=3 / np.sqrt(2000))
    assert table.best_as_paper == pytest.approx(noise.mean(1).min())
    assert table.best_as_paper < 1 - 1 / np.sqrt(4000)
    # One that is truly better is found: on even episodes, and asked on odd ones.
    better = np.tile([0.0, 0.5], 2000)
    table = planted_risk({("single", 1): [*noise, better]}).table().iloc[0]
    assert (table.best, table.best_as_paper) == (0.5, 0.25)


def test_without_dropout_nothing_is_dropped():
    models = [model(format, 2, 3) for format in COLUMN_FORMATS[1:3]]
    result = measure_dropout_risk(models, TASK, episodes(4), generator=Generator().manual_seed(2))
    np.testing.assert_array_equal(result.data.dropped, result.data.whole)
    np.testing.assert_allclose(result.data.optimum, 2 * 3 / 6, rtol=1e-6)


def test_models_that_differ_in_more_than_their_seed_are_no_seeds_of_one_kind():
    triplet, generator = TRIPLET, Generator().manual_seed(2)
    plain, blind = model(triplet, 2, 3), model(triplet, 2, 3, first=FirstLayer.BLIND)
    with pytest.raises(tvl.InputError, match="first_layer of full and of blind"):
        measure_linear_risk([plain, plain, blind], TASK, episodes(4))
    as_code = dropping(triplet, keep=0.8, loses=DropoutKind.ATTENTION_INPUT)
    pairs = dropping(PAIRWISE, keep=0.8)
    with pytest.raises(tvl.InputError, match="that differ in nothing but their seed"):
        measure_dropout_risk([pairs, as_code], TASK, episodes(4), generator=generator)
    with pytest.raises(tvl.InputError, match="dropout of"):
        measure_linear_risk([plain, as_code], TASK, episodes(4))


def dropping(
    format: ColumnFormat,
    keep: float,
    loses: DropoutKind = DropoutKind.INPUT,
    layers: int = 2,
    causal: bool = False,
) -> LinearTransformer:
    config = LinearConfig(layers, causal=causal, dropout=TokenDropout(keep, loses))
    return LinearTransformer(config, 2, format, 3, generator=Generator().manual_seed(0))


@pytest.mark.parametrize(
    "task", [MatrixRegression(2, noise=1.0), LowRankRegression(2), MatrixRegression(2, SKEWED)]
)
def test_no_optimum_is_given_for_tasks_that_none_is_proven_for(task: tvl.Task):
    generator = Generator().manual_seed(2)
    given = sample_episodes(task, 4, 4, generator=generator)
    single, pairs = model(SINGLE, 1, 3), PAIRWISE
    assert np.isnan(measure_linear_risk([single], task, given).data.optimum).all()
    result = measure_dropout_risk([dropping(pairs, 0.8)], task, given, generator=generator)
    assert np.isnan(result.data.optimum).all()


def test_the_optimum_under_dropout_is_given_in_the_setting_of_its_proof_alone():
    triplet, generator = TRIPLET, Generator().manual_seed(2)
    models = [
        dropping(triplet, 0.5, layers=3),
        dropping(triplet, 0.6, causal=True),
        dropping(triplet, 0.7, DropoutKind.ATTENTION_INPUT),
        dropping(triplet, 0.8),
    ]
    optimum = measure_dropout_risk(models, TASK, episodes(4), generator=generator).data.optimum
    assert np.isnan(optimum[:3]).all()
    assert float(optimum[3]) == pytest.approx(tvl.theory.optimal_dropout_risk(3, 2, 0.8) / 2)
    pairs = measure_dropout_risk(
        [dropping(PAIRWISE, 0.8)], TASK, episodes(4), generator=generator
    ).data
    least = tvl.theory.optimal_pairs_dropout_risk(3, 2, 0.8) / 2
    assert float(pairs.optimum[0]) == pytest.approx(least)
    assert float(optimum[3]) < least


def subject(some: LinearTransformer, examples: int, batch: int = 50) -> Subject:
    return Subject((some,), TASK, some.format, test=Test(batch, examples))


def test_kinds_measured_one_by_one_are_those_measured_together():
    models = [model(SINGLE, 1, 2), model(PAIRWISE, 2, 3), model(TRIPLET, 2, 3)]
    one_by_one = [linear_risk(subject(each, 4)) for each in models]
    at_once = measure_linear_risk(models, TASK, subject(models[0], 4).episodes)
    xr.testing.assert_identical(LinearRisk.together(one_by_one).data, at_once.data)
    assert LinearRisk.together(one_by_one).order().equals(at_once.order())
    kinds = [dropping(format, keep) for format in (PAIRWISE, TRIPLET) for keep in (0.6, 0.8)]
    parts = [dropout_risk(subject(each, 3)) for each in kinds]
    together = DropoutRisk.together(parts)
    for part, run in zip(parts, range(4), strict=True):
        xr.testing.assert_identical(together.data.isel(run=[run]), part.data)
    assert together.gain().index.tolist() == [0.6, 0.8]
    least = tvl.theory.optimal_dropout_risk(3, 2, 0.6) / 2
    assert together.table().optimum["triplet", 0.6] == pytest.approx(least)


def test_what_cannot_be_compared_is_not_put_together():
    single, pairs, triplets = model(SINGLE, 1, 3), model(PAIRWISE, 2, 3), model(TRIPLET, 2, 3)
    one = linear_risk(subject(single, 3))
    for others in (linear_risk(subject(pairs, 4)), linear_risk(subject(pairs, 3, batch=51))):
        with pytest.raises(tvl.InputError, match="2 results of 2 different"):
            LinearRisk.together([one, others])
    with pytest.raises(tvl.InputError, match="0 results of 0 different"):
        LinearRisk.together([])
    with pytest.raises(tvl.InputError, match=r"models of one kind: .*'single', 1, 3"):
        LinearRisk.together([one, one])
    causal = dropping(PAIRWISE, keep=1.0, causal=True)
    some = [dropout_risk(subject(each, 3)) for each in (triplets, causal)]
    with pytest.raises(tvl.InputError, match="nothing but format and seed"):
        DropoutRisk.together(some)


def test_the_arrow_shifts_by_its_weight_of_each_example():
    planted = model(TRIPLET, 2, 3)
    block, given = planted.blocks[0], episodes(4)
    weights = torch.tensor([1.0, -2.0, 4.0])
    with torch.no_grad():
        for weight in block.parameters():
            weight.zero_()
        attn = attention(planted, 0)
        attn.B.fill_(1.0)
        attn.D[2:11:3, 10] = weights
    others = fresh_queries(TASK, given, generator=Generator().manual_seed(3))
    site = Site(1, Role.ARROW, -1)
    result = measure_demonstration_weights([planted], planted.format.context, given, others, site)
    moved = (others.y - given.y)[:, :3] * weights[:, None]
    held = (given.y[:, :3] * weights[:, None]).sum(1)
    expected = moved.norm(dim=-1) / held.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(result.data["shift"][0], expected, rtol=1e-4)


def traces(drawn: Any, name: str) -> list[Any]:
    """Those of the plotted lines that have a name."""
    return [trace for trace in drawn.data if trace.name == name]


def test_the_figure_of_risks_has_every_seed_and_the_proven_optimum():
    single, pairs = SINGLE, PAIRWISE
    kinds = [(single, 1, 3), (single, 2, 3), (pairs, 2, 3), (single, 1, 4)]
    models = [model(*kind, seed=seed) for kind in kinds for seed in range(2)]
    result = measure_linear_risk(models, TASK, episodes(5))
    drawn: Any = tvl.plots.plot_linear_risk(result)
    means = 2 * result.data.error.mean("episode").values
    three, four = traces(drawn, "single, seeds")
    np.testing.assert_allclose(three.y, means[:4])
    np.testing.assert_allclose(four.y, means[6:])
    np.testing.assert_allclose(np.round(three.x), [1, 1, 2, 2])
    assert [list(trace.y) for trace in traces(drawn, "least, proven")] == [[1.0], [6 / 7]]
    shown = [trace.name for trace in drawn.data if trace.showlegend]
    assert shown == ["single", "least, proven", "pairwise"]


def test_the_figure_of_risks_has_every_format():
    models = [model(format, 2, 3) for format in COLUMN_FORMATS]
    drawn: Any = tvl.plots.plot_linear_risk(measure_linear_risk(models, TASK, episodes(4)))
    shown = [trace.name for trace in drawn.data if trace.showlegend]
    assert shown == [format.name for format in COLUMN_FORMATS]


def test_the_gain_of_triplets_is_of_means_over_seeds_and_episodes():
    formats = COLUMN_FORMATS[1:3]
    models = [model(format, 2, 3, seed) for format in formats for seed in range(2)]
    generator = Generator().manual_seed(2)
    result = measure_dropout_risk(models, TASK, episodes(4, 50), generator=generator)
    pairs, triplets = result.data.dropped.values.reshape(2, 2, 50).mean((1, 2))
    gain = result.gain()
    assert gain.index.tolist() == [1.0]
    assert gain.estimate[1.0] == pytest.approx(1 - triplets / pairs, rel=1e-6)
    assert gain.low[1.0] <= gain.estimate[1.0] <= gain.high[1.0]
    drawn: Any = tvl.plots.plot_dropout_risk(result)
    (saved,) = traces(drawn, "(pairwise - triplet) / pairwise")
    np.testing.assert_array_equal(saved.y, gain.estimate)
    only_pairs = DropoutRisk(result.data.isel(run=[0, 1]))
    assert only_pairs.gain().empty
    drawn = tvl.plots.plot_dropout_risk(only_pairs)
    assert not traces(drawn, "triplet")


def test_the_figure_of_weights_has_every_seed_and_theory_at_the_height_of_the_bars():
    models = [model(TRIPLET, 2, 3, seed) for seed in range(2)]
    given = episodes(4)
    others = fresh_queries(TASK, given, generator=Generator().manual_seed(3))
    site = Site(1, Role.ARROW, -1)
    result = measure_demonstration_weights(models, models[0].format.context, given, others, site)
    drawn: Any = tvl.plots.plot_demonstration_weights(result, theory=[-1.0, 0.0, 2.0])
    seeds = [trace.y for trace in traces(drawn, "a seed")]
    np.testing.assert_allclose(seeds, result.data["shift"].mean("episode"))
    mean = np.mean(drawn.data[0].y)
    (theory,) = traces(drawn, "theory, scaled")
    np.testing.assert_allclose(theory.y, np.array([1.0, 0.0, 2.0]) * mean)
