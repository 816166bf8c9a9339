"""Tasks of maps between symbols: their functions, inputs and oracles."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.task_conformance import episodes_of, queries_of
from tvlens.base.errors import InputError
from tvlens.tasks import (
    Bijections,
    Direction,
    MapKind,
    Relations,
    SymbolMaps,
    bijection_of,
    check_bijection,
)

BOTH, FORWARD, INVERSE, COPY = (
    Direction.BOTH,
    Direction.FORWARD,
    Direction.INVERSE,
    Direction.COPY,
)
KINDS = tuple(MapKind(direction, pairs) for direction in Direction for pairs in (1, 2, 3))
EVERY = Bijections(vocabulary=9, mixture=KINDS)
SMALL = Bijections(
    vocabulary=5,
    mixture=(MapKind(BOTH, 1), MapKind(FORWARD, 2), MapKind(BOTH, 2), MapKind(COPY, 2)),
)
RELATIONS = Relations(symbols=3, relations=3, directions=(FORWARD, INVERSE, BOTH))

Map = tuple[tuple[int, int], ...]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_function_is_what_its_kind_says(kind: MapKind):
    task = replace(EVERY, mixture=(kind,))
    images = task.images(episodes_of(task, 200, 1).params)
    for image in images.tolist():
        there = {x: y for x, y in enumerate(image) if y >= 0}
        assert len(there) == kind.items
        assert len(set(there.values())) == kind.items, "one image for two"
        if kind.direction is BOTH:
            assert all(there[y] == x != y for x, y in there.items()), "no involution"
        elif kind.direction is COPY:
            assert all(x == y for x, y in there.items())
        else:
            assert not set(there) & set(there.values())


def test_an_involution_gives_the_input_back_when_applied_twice():
    task = replace(EVERY, mixture=(MapKind(BOTH, 3),))
    episodes = episodes_of(task, 100, 8)
    assert torch.equal(task.apply(episodes.params, episodes.target), episodes.x)
    assert not (episodes.target * episodes.x).any(), "a fixed point"


def test_params_tell_the_kind():
    params = episodes_of(EVERY, 2000, 1).params
    items = (EVERY.images(params) >= 0).sum(1)
    expected = torch.tensor([kind.items for kind in KINDS])[params[:, 0].long()]
    assert torch.equal(items, expected)
    counts = params[:, 0].long().bincount(minlength=len(KINDS)) / 2000
    assert_close(counts, torch.full((len(KINDS),), 1 / len(KINDS)), atol=0.03, rtol=0)


@pytest.mark.parametrize("task", [EVERY, RELATIONS], ids=str)
def test_each_item_occurs_as_soon_as_it_can_and_then_as_often_as_any(task: SymbolMaps):
    episodes = episodes_of(task, 4000, 9)
    inside = task.images(episodes.params) >= 0
    assert (episodes.x.sum(1).bool() <= inside).all(), "an input that has no image"
    for n in range(10):
        distinct = episodes.x[:, :n].sum(1).bool().sum(1)
        assert torch.equal(distinct, inside.sum(1).clamp_max(n))
    three = inside.sum(1) == 3
    first = inside[three].int().argmax(1)[:, None, None].expand(-1, 9, 1)
    share = episodes.x[three].gather(2, first).mean((0, 2))
    assert_close(
        share, torch.full((9,), 1 / 3), atol=4 * 0.48 / math.sqrt(int(three.sum())), rtol=0
    )


def test_a_relation_and_its_inverse_undo_each_other():
    table = RELATIONS.images(episodes_of(RELATIONS, 500, 1).params).unique(dim=0).tolist()
    assert len(table) == 9
    forward = [row[:3] for row in table if row[3:] == [-1] * 3]
    inverse = [row[3:] for row in table if row[:3] == [-1] * 3]
    both = [row for row in table if -1 not in row]
    assert len(forward) == len(inverse) == len(both) == 3
    for row in both:
        assert row[:3] in forward
        assert row[3:] in inverse
        assert all(row[y] == x and (x < 3) != (y < 3) for x, y in enumerate(row))


def functions_of(task: SymbolMaps) -> dict[Map, float]:
    """Every function of a task and its probability, written out."""
    functions: dict[Map, float] = {}
    for kind in task.kinds:
        if isinstance(task, Relations):
            params = replace(task, directions=(kind.direction,))
            drawn = params.images(episodes_of(params, 500, 1).params).unique(dim=0).tolist()
            maps = [tuple((x, y) for x, y in enumerate(row) if y >= 0) for row in drawn]
        else:
            width = kind.pairs * (1 if kind.direction is COPY else 2)
            drawn = itertools.permutations(range(task.d_x), width)
            maps = [mapped(kind, symbols) for symbols in drawn]
        for each in maps:
            functions[each] = functions.get(each, 0.0) + 1 / len(maps) / len(task.kinds)
    return functions


def mapped(kind: MapKind, symbols: tuple[int, ...]) -> Map:
    """The function of some symbols: pairs of neighbours, or copies."""
    if kind.direction is COPY:
        return tuple(sorted((x, x) for x in symbols))
    pairs = list(zip(symbols[::2], symbols[1::2], strict=True))
    back = [(y, x) for x, y in pairs]
    return tuple(sorted({FORWARD: pairs, INVERSE: back, BOTH: pairs + back}[kind.direction]))


def chance_of(inputs: list[int], function: dict[int, int]) -> float:
    """How likely a function shows these inputs, in this order."""
    chance, left = 1.0, set(function)
    for x in inputs:
        choices = left or set(function)
        chance *= (x in choices) / len(choices)
        left.discard(x)
    return chance


@pytest.mark.parametrize("task", [SMALL, RELATIONS], ids=str)
def test_the_oracle_is_the_posterior_written_out(task: SymbolMaps):
    functions = functions_of(task)
    assert abs(sum(functions.values()) - 1) < 1e-9
    episodes = episodes_of(task, 40, 6)
    queries = queries_of(task, episodes)
    for n in range(7):
        found = task.oracle(episodes.x[:, :n], episodes.y[:, :n], queries.x).exp()
        for row in range(40):
            inputs, outputs = (
                each[row, :n].argmax(-1).tolist() for each in (episodes.x, episodes.y)
            )
            weights = {
                function: prior * chance_of(inputs, dict(function))
                for function, prior in functions.items()
                if all(dict(function).get(x) == y for x, y in zip(inputs, outputs, strict=True))
            }
            for index, query in enumerate(queries.x[row].argmax(-1).tolist()):
                expected = torch.zeros(task.d_x)
                for function, weight in weights.items():
                    if query in dict(function):
                        expected[dict(function)[query]] += weight / len(function)
                assert_close(found[row, index], expected / expected.sum(), atol=1e-5, rtol=1e-4)


def test_the_oracle_answers_contexts_that_no_function_shows():
    x = torch.eye(5)[[0, 0, 0]][None]
    for y in (torch.eye(5)[[1, 1, 1]], torch.eye(5)[[1, 2, 0]]):
        found = SMALL.oracle(x, y[None], torch.eye(5)[None])
        assert found.isfinite().all()
    certain = SMALL.oracle(x, torch.eye(5)[[1, 1, 1]][None], torch.eye(5)[None, [1]])
    assert_close(certain.exp(), torch.eye(5)[None, [0]], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MapKind(FORWARD, 0),
        lambda: Bijections(mixture=()),
        lambda: Bijections(vocabulary=5),
        lambda: Relations(symbols=1),
        lambda: Relations(relations=1),
        lambda: Relations(symbols=2, relations=3),
        lambda: Relations(directions=()),
        lambda: Relations(directions=(COPY,)),
    ],
)
def test_a_task_that_can_not_be_drawn_is_refused(make):
    with pytest.raises(InputError):
        make()


OWN = (bijection_of([(0, 5), (1, 3), (2, 4)]), bijection_of([(0, 3), (1, 4), (2, 5)]))


def test_relations_of_your_own_are_what_is_drawn():
    task = Relations(3, 2, (BOTH,), maps=OWN)
    assert OWN == ((5, 3, 4, 1, 2, 0), (3, 4, 5, 0, 1, 2))
    drawn = {tuple(each) for each in task.images(episodes_of(task, 50, 1).params).tolist()}
    assert drawn == set(OWN)
    one_way = Relations(3, 2, (INVERSE,), maps=OWN)
    images = one_way.images(episodes_of(one_way, 50, 1).params)
    nothing = (-1, -1, -1)
    assert {tuple(each) for each in images.tolist()} == {nothing + each[3:] for each in OWN}


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ((1, 0, 2), "2 goes to itself"),
        ((1, 2, 0), "0 goes to 1, and that to 2"),
        ((1, 0, 1), "0 and 2 both go to 1"),
        ((1, 4), "4 is none of the 2 symbols"),
        ((1, -1), "-1 is none"),
    ],
)
def test_a_bijection_that_is_none_is_refused(images: tuple[int, ...], match: str):
    with pytest.raises(InputError, match=match):
        check_bijection(images)


@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2)], [(0, 0)], [(1, 2)], [(0, 1), (2, 4)]])
def test_pairs_that_share_or_skip_symbols_are_refused(pairs: list[tuple[int, int]]):
    with pytest.raises(InputError, match="each in one pair"):
        bijection_of(pairs)


def test_maps_that_do_not_fit_the_relations_are_refused():
    for maps in (OWN[:1], OWN + OWN[:1] + ((4, 5, 3, 2, 0, 1),), (OWN[0], OWN[0])):
        with pytest.raises(InputError, match="as many different maps as relations, 2"):
            Relations(3, 2, maps=maps)
    with pytest.raises(InputError, match="each of 8 symbols"):
        Relations(4, 2, maps=OWN)
    with pytest.raises(InputError, match="maps some of these to each other"):
        Relations(3, 2, maps=(OWN[0], (1, 0, 3, 2, 5, 4)))
    with pytest.raises(InputError, match="both go to 4"):
        Relations(3, 2, maps=(OWN[0], (4, 3, 4, 1, 2, 0)))
