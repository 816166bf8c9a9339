"""Rank sweeps against planted vectors, whose answers are known in closed form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator

import tvlens as tvl
from tests.planted_triplets import example_of_each_arrow, orthogonal_rows, planted_triplets
from tests.readme_example import python_blocks
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.models import LinearConfig, LinearTransformer
from tvlens.prompts import TRIPLET, Episodes
from tvlens.results import RankSweep
from tvlens.results.rank_sweep import OUTCOMES
from tvlens.tasks import ItemMap, OrthonormalItems, fresh_queries, sample_episodes

D, N = 4, 5
TASKS = [OrthonormalItems(D, pairs, each) for pairs in (1, 2) for each in ItemMap]


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def balanced(task: OrthonormalItems, contexts: int) -> tuple[Episodes, Episodes]:
    """Contexts, each asked about every item of the domain once: rows "(context item)".

    Items are axes, so that products of two of them are 0 or 1 without rounding.
    """
    axes = torch.rand(contexts, D, generator=rng()).argsort(1)[:, : 2 * task.pairs]
    params = torch.eye(D)[axes].flatten(1)
    x = task.sample_inputs(params, N + 1, generator=rng(1))
    y = task.apply(params, x)
    episodes = Episodes(x, y, y, params)
    items = task.items(episodes.params)[:, list(task.domain)]
    parts = (episodes.x, episodes.y, episodes.target, episodes.params)
    many = Episodes(*(each.repeat_interleave(task.rank, dim=0).double() for each in parts))
    x = items.double().flatten(0, 1)[:, None]
    target = task.apply(many.params, x)
    return many, Episodes(x, target, target, many.params)


@pytest.fixture(scope="module")
def planted() -> RankSweep:
    models = [planted_triplets(orthogonal_rows(N, seed), D) for seed in (0, 1)]
    return measure_rank_sweep(models, {task: balanced(task, 24 // task.rank) for task in TASKS})


def test_one_vector_knows_one_item_in_rank(planted: RankSweep):
    accuracy = planted.accuracy()
    one = 1 / planted.data["rank"]
    for way in ("paper", "corrected"):
        np.testing.assert_allclose(accuracy.estimate.sel(way=way), one, rtol=1e-12)
    assert dict(zip(planted.data["kind"].values, planted.data["rank"].values, strict=True)) == {
        **{f"{each} 1": 2 if each is ItemMap.BOTH else 1 for each in ItemMap},
        **{f"{each} 2": 4 if each is ItemMap.BOTH else 2 for each in ItemMap},
    }


def test_all_vectors_are_the_whole_context(planted: RankSweep):
    answers = planted.answers()
    whole = answers.sel(way="icl", drop=True)
    xr.testing.assert_equal(answers.sel(way="corrected all vectors", drop=True), whole)
    # With K = kappa I, an item that was shown is known.
    shown = planted.shares().estimate.sel(way="icl", outcome="correct")
    known = shown.sel(shown="shown")
    one_way = [task.name for task in TASKS if task.map is not ItemMap.BOTH]
    np.testing.assert_allclose(known.sel(kind=one_way), 1)
    np.testing.assert_allclose(known, 1)


def test_a_vector_that_is_one_example_answers_as_that_example():
    model = planted_triplets(example_of_each_arrow(N), D)
    result = measure_rank_sweep([model], {task: balanced(task, 24 // task.rank) for task in TASKS})
    answers = result.answers()
    xr.testing.assert_equal(
        answers.sel(way="corrected", drop=True), answers.sel(way="one example", drop=True)
    )


def test_outcomes_are_those_of_the_closed_form():
    """The answer is Y beta, with the sign of what the query has in common with X beta."""
    M = orthogonal_rows(N)
    beta, model = M[:, -1].tolist(), planted_triplets(M, D)
    for task in TASKS:
        episodes, queries = balanced(task, 6)
        result = measure_rank_sweep([model], {task: (episodes, queries)})
        found = result.answers().sel(way="corrected").isel(seed=0, kind=0).values
        items = task.items(episodes.params)
        for row in range(episodes.batch):
            weight = dict.fromkeys(task.domain, 0.0)
            for i in range(N):
                weight[int((items[row] @ episodes.x[row, i]).argmax())] += beta[i]
            asked = int((items[row] @ queries.x[row, 0]).argmax())
            heaviest = max(weight, key=lambda item: abs(weight[item]))
            if weight[asked] == 0:
                assert OUTCOMES[found[row]] == "none"
                continue
            sign = np.sign(weight[heaviest] * weight[asked])
            assert OUTCOMES[found[row]] == outcome(task, asked, heaviest, sign), (task, row)


def outcome(task: OrthonormalItems, asked: int, answered: int, sign: float) -> str:
    """What it is to answer `sign` times the image of one item when asked another."""
    image = dict(zip(task.domain, task.images, strict=True))
    vector = {image[answered]: sign * task.sign}
    if vector == {image[asked]: task.sign}:
        return "correct"
    if vector == {asked: 1}:
        return "query itself"
    if sign < 0:
        return "wrong sign" if answered == asked else "opposite item"
    same_side = image[answered] // task.pairs == image[asked] // task.pairs
    return "other pair" if same_side else "wrong side"


def test_items_that_were_not_shown_are_told_apart(planted: RankSweep):
    for task in TASKS:
        episodes, queries = balanced(task, 24 // task.rank)
        found = planted.data.shown.sel(kind=task.name)
        same = [
            any(torch.allclose(x, queries.x[row, 0]) for x in episodes.x[row, :N])
            for row in range(episodes.batch)
        ]
        np.testing.assert_array_equal(found[: len(same)], same)
    shares = planted.shares()
    for each in ("any", "shown"):
        total = shares.estimate.sel(shown=each).sum("outcome")
        np.testing.assert_allclose(total, 1)
    rank_one = shares.estimate.sel(kind="forward 1", shown="not shown")
    assert rank_one.isnull().all()


def test_a_model_that_says_nothing_is_told():
    config = LinearConfig(n_layers=2, init_std=0.0)
    model = LinearTransformer(config, D, TRIPLET, N, dtype=torch.float64)
    task = OrthonormalItems(D, 1)
    answers = measure_rank_sweep([model], {task: balanced(task, 4)}).answers()
    assert (answers == OUTCOMES.index("none")).sel(way=["icl", "corrected"]).all()


def test_tests_are_drawn_for_every_kind_of_map():
    tests = item_tests(6, N, 3, generator=rng())
    assert {task.name for task in tests} == {f"{m} {p}" for m in ItemMap for p in (1, 2, 3)}
    for task, (episodes, queries) in tests.items():
        assert episodes.x.shape == (3, N + 1, task.d)
        assert torch.equal(queries.params, episodes.params)
        assert torch.equal(episodes.target, task.apply(episodes.params, episodes.x))


def test_saved_scored_and_drawn(planted: RankSweep, tmp_path: Path):
    planted.save(tmp_path / "result.nc")
    xr.testing.assert_identical(RankSweep.load(tmp_path / "result.nc").data, planted.data)
    scores = planted.scores()
    for name in ("both 2: corrected", "both 2: 1 / rank"):
        assert scores.loc[name, "estimate"] == pytest.approx(0.25)
    drawn: Any = tvl.plots.plot_rank_sweep({"a": planted, "b": planted})
    dots = next(trace for trace in drawn.data if trace.name == "one vector")
    steps = next(trace for trace in drawn.data if trace.name == "1 / rank")
    np.testing.assert_allclose(dots.y, steps.y)
    bars: Any = tvl.plots.plot_rank_sweep_outcomes(planted)
    np.testing.assert_allclose(np.sum([trace.x for trace in bars.data], axis=0), 1)


def test_queries_of_other_functions_are_refused():
    task = OrthonormalItems(D, 1)
    episodes = sample_episodes(task, 4, N + 1, generator=rng())
    queries = fresh_queries(task, episodes[:3], generator=rng(1))
    model = planted_triplets(orthogonal_rows(N), D)
    with pytest.raises(tvl.InputError, match="queries of the same functions"):
        measure_rank_sweep([model], {task: (episodes, queries)})


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/rank_sweep.md")
    exec(
        compile(block.replace("episodes=256", "episodes=16"), "rank_sweep.md", "exec"),
        {"__name__": "documentation"},
    )
