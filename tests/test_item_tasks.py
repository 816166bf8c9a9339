"""Maps among orthonormal items, and regression on a line."""

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

import tvlens as tvl
from tests.task_conformance import check_task, episodes_of
from tvlens.tasks import CollinearRegression, ItemMap, OrthonormalItems

MAPS = [OrthonormalItems(4, pairs, each) for pairs in (1, 2) for each in ItemMap]
each_map = pytest.mark.parametrize("task", MAPS, ids=lambda task: task.name)


def matrix(task: OrthonormalItems, params: torch.Tensor) -> torch.Tensor:
    """W, from what it does to a basis."""
    return task.apply(params, torch.eye(task.d).expand(len(params), -1, -1)).mT


@pytest.mark.parametrize("map", [ItemMap.FORWARD, ItemMap.INVERSE, ItemMap.BOTH])
def test_a_map_of_one_pair_is_a_task(map: ItemMap):
    check_task(OrthonormalItems(3, 1, map), exact_from=1)


def test_regression_on_a_line_is_a_task():
    check_task(CollinearRegression(3), exact_from=1)


@each_map
def test_items_are_orthonormal_and_taken_to_their_images(task: OrthonormalItems):
    params = task.sample_params(16, generator=Generator().manual_seed(0))
    items = task.items(params)
    assert_close(items @ items.mT, torch.eye(2 * task.pairs).expand(16, -1, -1))
    W = matrix(task, params)
    assert (torch.linalg.matrix_rank(W) == task.rank).all()
    for item, image in zip(task.domain, task.images, strict=True):
        found = torch.einsum("bij,bj->bi", W, items[:, item])
        assert_close(found, task.sign * items[:, image])
        code = image + 2 * task.pairs * (task.sign < 0)
        assert (task.nearest(params, found[:, None]) == code).all()


def test_a_bijection_is_an_involution_without_fixed_points():
    for pairs in (1, 2):
        task = OrthonormalItems(4, pairs, ItemMap.BOTH)
        params = task.sample_params(16, generator=Generator().manual_seed(0))
        W, items = matrix(task, params), task.items(params)
        assert_close(items @ W @ W, items)
        assert all(item != image for item, image in zip(task.domain, task.images, strict=True))
    forward, inverse = (OrthonormalItems(4, 2, m) for m in (ItemMap.FORWARD, ItemMap.INVERSE))
    params = forward.sample_params(16, generator=Generator().manual_seed(0))
    assert_close(matrix(forward, params).mT, matrix(inverse, params))
    both = OrthonormalItems(4, 2, ItemMap.BOTH)
    total = matrix(forward, params) + matrix(inverse, params)
    assert_close(matrix(both, params), total)


@each_map
def test_the_oracle_knows_what_was_shown_and_nothing_else(task: OrthonormalItems):
    episodes = episodes_of(task, 256, 4)
    examples, query = episodes.x[:, :3], episodes.x[:, 3:]
    answer = task.oracle(examples, episodes.y[:, :3], query)[:, 0]
    known = examples
    if task.map is ItemMap.BOTH:
        known = torch.cat([examples, episodes.y[:, :3]], dim=1)
    shown = (query @ known.mT)[:, 0].amax(-1) > 0.5
    if task.map in (ItemMap.COPY, ItemMap.NEGATION):
        shown = torch.ones_like(shown)
    assert_close(answer[shown], episodes.target[shown, 3])
    assert (answer[~shown] == 0).all()
    always = task.rank == 1 or task.name == "both 1" or task.map in (ItemMap.COPY, ItemMap.NEGATION)
    assert bool(shown.all()) == always


def test_inputs_are_all_items_equally_often():
    task = OrthonormalItems(6, 3, ItemMap.BOTH)
    episodes = episodes_of(task, 2000, 3)
    counts = torch.bincount(task.nearest(episodes.params, episodes.x).flatten(), minlength=12)
    assert (counts[6:] == 0).all()
    assert (counts[:6] / counts.sum() - 1 / 6).abs().max() < 0.02


def test_what_points_nowhere_is_no_item():
    task = OrthonormalItems(4, 1)
    params = task.sample_params(3, generator=Generator().manual_seed(0))
    assert (task.nearest(params, torch.zeros(3, 2, 4)) == -1).all()


@pytest.mark.parametrize(("d", "pairs"), [(1, 1), (3, 2), (4, 3), (4, 0)])
def test_more_items_than_dimensions_are_refused(d: int, pairs: int):
    with pytest.raises(tvl.InputError, match="1 <= pairs <= d / 2"):
        OrthonormalItems(d, pairs)
