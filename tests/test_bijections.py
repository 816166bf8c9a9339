"""Bijections against planted models, for which the right answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator

import tvlens as tvl
from tests.planted_maps import PlantedMaps
from tests.readme_example import python_blocks
from tests.running import Script
from tests.wrapped import Wrapped
from tvlens.analysis.bijections import measure_bijections
from tvlens.interventions import task_vector_predictions
from tvlens.prompts import ARROW, Episodes, Role
from tvlens.results import BijectionAnswers
from tvlens.results.bijections import OUTCOMES
from tvlens.tasks import Bijections, Direction, MapKind, Relations, SymbolMaps

KINDS = (
    MapKind(Direction.COPY, 1),
    MapKind(Direction.FORWARD, 1),
    MapKind(Direction.BOTH, 1),
    MapKind(Direction.INVERSE, 2),
    MapKind(Direction.BOTH, 2),
    MapKind(Direction.FORWARD, 3),
)
TASK = Bijections(vocabulary=12, mixture=KINDS)
ITEMS = np.array([kind.items for kind in KINDS])
GOES_BOTH_WAYS = np.array([kind.direction is Direction.BOTH for kind in KINDS])


def data(task: SymbolMaps = TASK, batch: int = 1200, shots: int = 7) -> tuple[Episodes, Episodes]:
    generator = Generator().manual_seed(0)
    episodes = tvl.sample_episodes(task, batch, shots, generator=generator)
    return episodes, tvl.fresh_queries(task, episodes, generator=generator)


def asked(model: Any, task: SymbolMaps = TASK, **options: int) -> BijectionAnswers:
    generator = Generator().manual_seed(1)
    return measure_bijections(model, task, ARROW, *data(task, **options), generator=generator)


def small_model(task: SymbolMaps = TASK) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.5)
    return tvl.Experiment(task, ARROW, config).build_model(device="cpu")


@pytest.fixture(scope="module")
def one_answer() -> BijectionAnswers:
    """Of a model whose vector is one example: the answer to the dummy."""
    return asked(PlantedMaps(TASK.d_x, learn_layer=1, answer_layer=1))


@pytest.fixture(scope="module")
def whole_map() -> BijectionAnswers:
    """Of a model whose vector is the whole map at layer 1, and one answer at layer 2."""
    return asked(PlantedMaps(TASK.d_x, learn_layer=1, answer_layer=2))


def test_one_answer_serves_one_item_and_every_error_is_that_answer(
    one_answer: BijectionAnswers,
):
    shares = one_answer.shares().estimate.sel(reading="one dummy", layer=[1, 2])
    several = ITEMS > 1
    np.testing.assert_array_equal(shares.sel(dummy="equals", outcome="correct"), 1)
    differs = shares.sel(dummy="differs").isel(kind=several)
    np.testing.assert_array_equal(differs.sel(outcome="correct"), 0)
    dummys = differs.sel(outcome=["dummy's answer", "partner's answer"])
    np.testing.assert_allclose(dummys.sum("outcome"), 1)
    partners = dummys.sel(outcome="partner's answer").isel(layer=0).values
    expected = GOES_BOTH_WAYS[several] / (ITEMS[several] - 1)  # One of the others is the partner.
    np.testing.assert_allclose(partners, expected, atol=0.15)
    assert partners[0] == 1
    np.testing.assert_array_equal(partners[~GOES_BOTH_WAYS[several]], 0)


def test_over_all_dummies_one_answer_is_right_as_often_as_the_dummy_is_the_query(
    one_answer: BijectionAnswers,
):
    half = one_answer.data.isel(episode=slice(600, None))
    overall = one_answer.shares().sel(reading="one dummy", layer=2, dummy="any", outcome="correct")
    for index, items in enumerate(ITEMS):
        same = half.same.sel(reading="one dummy")[half.kind_of.values == index]
        assert float(overall.estimate[index]) == pytest.approx(float(same.mean()))
        assert float(overall.low[index]) - 0.01 <= 1 / items <= float(overall.high[index]) + 0.01


def test_a_map_that_is_kept_whole_serves_every_item(whole_map: BijectionAnswers):
    assert (whole_map.best_layer() == 1).all()
    accuracy = whole_map.accuracy().estimate
    full = accuracy.sel(score=["icl", "corrected", "paper", "equals", "two_dummies"])
    np.testing.assert_array_equal(full, 1)
    np.testing.assert_array_equal(accuracy.sel(score="differs")[ITEMS > 1], 1)
    assert np.isnan(accuracy.sel(score="differs")[ITEMS == 1]).all()
    np.testing.assert_allclose(accuracy.sel(score="one_item"), 1 / ITEMS)
    assert float(accuracy.sel(score=["zero_shot", "another_function"]).max()) < 0.3
    above = whole_map.shares().estimate.sel(reading="one dummy", layer=2, outcome="correct")
    np.testing.assert_array_equal(above.sel(dummy="differs")[ITEMS > 1], 0)


def outcome(answer: int, image: list[int], query: int, dummies: list[int]) -> str:
    """What an answer is, written out."""
    dummys = [image[d] for d in dummies]
    if answer == image[query]:
        return "correct"
    if answer in dummys:
        return "partner's answer" if answer == query else "dummy's answer"
    if answer == query:
        return "query itself"
    if answer in dummies:
        return "dummy itself"
    return "another answer" if answer in image else "other"


def test_outcomes_are_those_of_task_vector_prompting_by_its_definition():
    task = Bijections(vocabulary=6, mixture=KINDS)
    model, (episodes, queries) = small_model(task), data(task, batch=300)
    result = asked(model, task, batch=300)
    generator = Generator().manual_seed(1)
    dummies = [task.sample_inputs(episodes.params, 1, generator=generator) for _ in range(2)]
    first, second = (
        Episodes(
            torch.cat([episodes.x[:, :-1], d], 1), episodes.y, episodes.target, episodes.params
        )
        for d in dummies
    )
    answers, same = result.data.answer.values, result.data.same.values
    found: set[str] = set()
    for layer in range(3):
        site = tvl.Site(layer, Role.ARROW)
        one = task_vector_predictions(model, ARROW, first, queries, site)[:, -1].argmax(-1)
        vectors = [tvl.read(model, ARROW.context(each), site)[:, -1:] for each in (first, second)]
        prompt = ARROW.zero_shot(queries, torch.tensor([[6]]))
        mean = tvl.write(model, prompt, site, sum(vectors) / 2)[:, -1].argmax(-1)  # pyright: ignore[reportArgumentType]
        for row in range(300):
            image = task.images(episodes.params)[row].tolist()
            d1, d2 = (int(each[row].argmax()) for each in dummies)
            query = int(queries.x[row, -1].argmax())
            expected = outcome(int(one[row]), image, query, [d1])
            assert OUTCOMES[answers[row, 0, layer]] == expected
            twice = outcome(int(mean[row]), image, query, [d1, d2])
            assert OUTCOMES[answers[row, 1, layer]] == twice
            assert same[row].tolist() == [query == d1, query in (d1, d2), False]
            found |= {expected, twice}
    assert found == set(OUTCOMES)


def test_the_control_has_the_vector_of_another_function():
    """A vector at the last layer is the answer, and that of another function is seldom right."""
    task = Relations(symbols=2, relations=2)
    result = asked(PlantedMaps(task.d_x, 1, 1), task, batch=400, shots=5)
    answer = result.data.answer.sel(layer=2)
    # Of one direction there are two functions, which answer the same dummy differently.
    correct = answer.sel(reading="another function") == 0
    assert 0.1 < float(correct.mean()) < 0.6
    episodes, queries = (each[:4] for each in data(task, batch=4))
    alike = Episodes(episodes.x, episodes.y, episodes.target, episodes.params[:1].expand(4, -1))
    with pytest.raises(tvl.InputError, match="4 of 4 episodes are of one function"):
        measure_bijections(
            PlantedMaps(task.d_x, 1, 1), task, ARROW, alike, queries, generator=Generator()
        )


def test_any_model_with_the_hook_points_will_do():
    model = small_model()
    plain, wrapped = asked(model, batch=60), asked(Wrapped(model), batch=60)
    assert plain.data.identical(wrapped.data)


def chosen() -> BijectionAnswers:
    """One map of 2 items and 8 episodes: layer 1 wins in the first half, and is worse after.

    The last layer is always right, and may not be chosen.
    """
    right, wrong = OUTCOMES.index("correct"), OUTCOMES.index("other")
    first = [[wrong, right], [wrong, right], [right, right], [wrong, right]]
    second = [[right, wrong], [right, wrong], [right, right], [wrong, wrong]]
    answer = np.array([[*each, right] for each in first + second], dtype=np.int8)
    answer = answer[:, None].repeat(3, axis=1)
    return BijectionAnswers(
        xr.Dataset(
            {
                "answer": (("episode", "reading", "layer"), answer),
                "plain": (("episode", "prompt"), np.full((8, 2), right, dtype=np.int8)),
                "same": (("episode", "reading"), np.array([[0, 0, 0]] * 6 + [[1, 1, 0]] * 2)),
                "kind_of": ("episode", np.zeros(8, dtype=np.int8)),
                "items": ("kind", [2]),
            },
            coords={
                "kind": ["both 1"],
                "reading": ["one dummy", "two dummies", "another function"],
                "layer": [0, 1, 2],
                "prompt": ["context", "zero-shot"],
            },
        )
    )


def test_the_layer_is_chosen_on_one_half_and_reported_on_the_other():
    result = chosen()
    assert result.best_layer().values.tolist() == [1]
    scores: Any = result.scores()["estimate"]
    assert float(scores["both 1: paper"]) == 1
    assert float(scores["both 1: corrected"]) == 0.25
    assert float(scores["both 1: differs"]) == 0
    assert float(scores["both 1: equals"]) == 0.5
    assert float(scores["both 1: one_item"]) == 0.5
    layer_0 = result.shares().sel(reading="one dummy", dummy="any", layer=0)
    assert layer_0.estimate.sel(outcome="correct").values.tolist() == [0.75]


def test_results_are_saved_and_loaded_identically(tmp_path: Path, one_answer: BijectionAnswers):
    one_answer.save(tmp_path / "result.nc")
    assert BijectionAnswers.load(tmp_path / "result.nc").data.identical(one_answer.data)


def test_figures_show_what_the_result_tells(whole_map: BijectionAnswers):
    two: Any = {"a": whole_map, "b": whole_map}
    dots: Any = tvl.plots.plot_bijections(two)
    assert [each.name for each in dots.data[:4]] == [
        "1 / items",
        "zero-shot",
        "in context",
        "task vector",
    ]
    np.testing.assert_array_equal(dots.data[3].y, 1)
    steps = zip(dots.data[0].x[::3], dots.data[0].x[1::3], dots.data[0].y[::3], strict=True)
    assert [(left + right) / 2 for left, right, _ in steps] == sorted(set(ITEMS))
    assert list(dots.data[0].y[::3]) == [1 / items for items in sorted(set(ITEMS))]
    heat: Any = tvl.plots.plot_bijections_over_layers(two)
    assert list(heat.data[0].y)[:2] == ["copy 1 (1)", "forward 1 (1)"]
    np.testing.assert_array_equal(heat.data[0].z[:, [2, 4]], 1)
    bars: Any = tvl.plots.plot_bijection_errors(two)
    lengths = np.array([each.x for each in bars.data[: len(OUTCOMES)]])
    np.testing.assert_allclose(lengths.sum(0), 1)
    assert len(bars.data[0].y) == (ITEMS > 1).sum()  # With one item, no dummy is another.


def test_the_script_asks_maps_of_every_kind_and_nothing_else(script: Script, tmp_path: Path):
    options = ["--episodes", 40, "--out", tmp_path]
    ended = script("bijections.py", "relations-tvp", *options)
    assert ended.code == 0, ended.error
    endings = {f"bijections.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings
    assert "both 8: corrected" in (tmp_path / "bijections.csv").read_text()
    refused = script("bijections.py", "offset-tvp", *options)
    assert refused.code != 0
    assert "ask a model of Bijections or Relations" in refused.error


def test_the_code_of_the_page_runs():
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks("docs/analyses/bijections.md"):
        exec(compile(block, "bijections", "exec"), namespace)
    assert len(namespace["result"].scores()) > 0
