"""What an analysis draws for a subject is what the test of the subject says, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.random_models import random_model, randomise
from tvlens.analysis.conflict import measure_conflict
from tvlens.analysis.decodability import measure_decodability
from tvlens.analysis.disentanglement import measure_disentanglement
from tvlens.analysis.distribution_shifts import measure_distribution_shifts
from tvlens.analysis.emergence import measure_emergence
from tvlens.analysis.icl_curve import measure_icl_curve
from tvlens.analysis.noise import measure_noise
from tvlens.analysis.pruning import measure_pruning
from tvlens.analysis.several_vectors import measure_several_vectors
from tvlens.analysis.shared.clusters import measure_geometry
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.transfer import measure_transfer
from tvlens.interventions import best_layer
from tvlens.interventions.vectors import read_task_vectors
from tvlens.models import HookedTransformer, LinearConfig, LinearTransformer, TransformerConfig
from tvlens.prompts import ARROW, PAIRWISE, TRIPLET, XYZ, ZXY
from tvlens.results import (
    Conflict,
    Decodability,
    Disentanglement,
    Emergence,
    LocalityMap,
    NoiseCurves,
    SeveralVectors,
    TaskVectors,
)
from tvlens.shifts import LabelNoise, OutlierLabels
from tvlens.subjects import CONTROL_SEED, DEVELOPMENT_SEED

TASK = tvl.LinearRegression(d=3)
TEST = tvl.Test(episodes=20, examples=3, seed=5)
LAYER = 2
OF_LAYERS = (
    "icl_curve",
    "geometry",
    "decodability",
    "disentanglement",
    "transfer",
    "conflict",
    "noise",
    "distribution_shifts",
    "emergence",
)
OF_ONE_MODEL = (*OF_LAYERS, "task_vectors", "locality_map", "several_vectors", "pruning")


UNTYPED = """
import tvlens as tvl

model = tvl.load_pretrained("linear-tvp", device="cpu").model


def refused(name):
    for wrong in (model, "linear-tvp"):
        try:
            getattr(tvl.analysis, name)(wrong)
        except tvl.InputError as error:
            print(error)


"""


def other_model() -> HookedTransformer:
    model = random_model(ARROW)
    randomise(model)
    return model


MODEL, UNTRAINED = random_model(ARROW), other_model()
SUBJECT = tvl.Subject(
    (MODEL,),
    TASK,
    ARROW,
    untrained=(UNTRAINED,),
    asked_layer=LAYER,
    test=TEST,
    snapshots=lambda: iter([(0, UNTRAINED), (10, MODEL)]),
)
ASKED = (MODEL, TASK, ARROW)


def seeded(offset: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(TEST.seed + offset)


def control() -> torch.Generator:
    return seeded(CONTROL_SEED)


def drawn(offset: int = 0) -> tuple[tvl.Episodes, tvl.Episodes]:
    generator = seeded(offset)
    episodes = tvl.sample_episodes(TASK, TEST.episodes, TEST.shots, generator=generator)
    return episodes, tvl.fresh_queries(TASK, episodes, generator=generator)


def contexts(functions: int, each: int) -> tuple[tvl.Episodes, tvl.Episodes]:
    generator = seeded()
    several = tvl.sample_contexts(TASK, functions, each, TEST.shots, generator=generator)
    return several, tvl.fresh_queries(TASK, several, generator=generator)


def vectors(functions: int, each: int) -> TaskVectors:
    return read_task_vectors(*ASKED, contexts(functions, each)[0])


def by_number(seed: int = TEST.seed) -> np.random.Generator:
    return np.random.default_rng(seed)


def locality() -> LocalityMap:
    return measure_locality_map(*ASKED, *drawn(), untrained=UNTRAINED, generator=control())


def conflicting() -> Conflict:
    both, queries = contexts(TEST.episodes, 2)
    some = (both[::2], both[1::2], queries[::2])
    return measure_conflict(*ASKED, *some, layer=LAYER, generator=control())


def several() -> SeveralVectors:
    some, queries = contexts(TEST.episodes, 4)  # As many as there are shots, and 5 at most.
    return measure_several_vectors(*ASKED, queries[::4], some)


def decoded() -> Decodability:
    found = measure_decodability(vectors(5, 11), layer=LAYER, generator=by_number())
    return found.with_recovery(locality())


def noisy() -> NoiseCurves:
    noises = (LabelNoise(0.5), LabelNoise(2.0), OutlierLabels(0.3))
    return measure_noise(*ASKED, *drawn(), layer=LAYER, generator=control(), noises=noises)


def disentangled() -> Disentanglement:
    both, found = contexts(10, 2), vectors(10, 2)
    return measure_disentanglement(*ASKED, *both, found, layer=LAYER, generator=control())


def emerged() -> Emergence:
    models, some = [(0, UNTRAINED), (10, MODEL)], contexts(4, 3)[0]
    return measure_emergence(models, TASK, ARROW, *drawn(), some, layer=LAYER, generator=control())


RECIPES: dict[str, tuple[dict[str, Any], Callable[[], tvl.results.Result]]] = {
    "task_vectors": ({"functions": 4, "contexts": 3}, lambda: vectors(4, 3)),
    "icl_curve": ({}, lambda: measure_icl_curve(*ASKED, *drawn(), layer=LAYER)),
    "locality_map": ({}, locality),
    "geometry": (
        {"functions": 4, "contexts": 3},
        lambda: measure_geometry(vectors(4, 3), layer=LAYER, generator=by_number()),
    ),
    "decodability": ({"functions": 5, "contexts": 11}, decoded),
    "disentanglement": ({"contexts": 2}, disentangled),
    "transfer": ({}, lambda: measure_transfer(*ASKED, *drawn(), layer=LAYER)),
    "several_vectors": ({}, several),
    "conflict": ({}, conflicting),
    "noise": ({"label_noise": (0.5, 2.0), "replaced": (0.3,)}, noisy),
    "distribution_shifts": (
        {},
        lambda: measure_distribution_shifts(*ASKED, *drawn(), layer=LAYER, generator=control()),
    ),
    "pruning": ({}, lambda: measure_pruning(*ASKED, *drawn())),
    "emergence": ({"functions": 4, "contexts": 3}, emerged),
}


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_drawn_is_said_by_the_test_of_the_subject(name: str):
    options, measure = RECIPES[name]
    ask = getattr(tvl.analysis, name)
    first = ask(SUBJECT, **options)
    xr.testing.assert_identical(first.data, measure().data)
    xr.testing.assert_identical(ask(SUBJECT, **options).data, first.data)  # Asked again.


def test_a_layer_that_nobody_named_is_chosen_on_other_episodes():
    subject = replace(SUBJECT, asked_layer=None)
    best = best_layer(*ASKED, *drawn(DEVELOPMENT_SEED))
    assert tvl.analysis.icl_curve(subject).data.attrs["layer"] == best
    trained = replace(subject, training=tvl.Training(TASK, ARROW, 3, tvp_layer=3 - best))
    assert tvl.analysis.icl_curve(trained).data.attrs["layer"] == 3 - best


def test_what_is_no_subject_is_refused_with_what_to_do_where_no_types_are_checked():
    code = UNTYPED + f"for name in {OF_ONE_MODEL}:\n    refused(name)\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert len(said) == 2 * len(OF_ONE_MODEL)
    assert all("got a HookedTransformer" in line for line in said[::2])
    assert all("`tvl.Subject((model,), task, format)`" in line for line in said[::2])
    assert all("got a str" in line and "(name).subject()" in line for line in said[1::2])


@pytest.mark.parametrize("name", OF_ONE_MODEL)
def test_several_models_and_formats_without_a_carrier_are_refused(name: str):
    ask: Any = getattr(tvl.analysis, name)
    two = replace(SUBJECT, models=(MODEL, MODEL), untrained=(UNTRAINED, UNTRAINED))
    with pytest.raises(tvl.InputError, match=r"one model, and the subject has 2.*alone\(0\)"):
        ask(two)
    pairs = LinearTransformer(LinearConfig(2), 2, PAIRWISE, 3, generator=seeded())
    with pytest.raises(tvl.InputError, match=r"'pairwise' has no carrier.*triplet, arrow or zxy"):
        ask(tvl.Subject((pairs,), tvl.MatrixRegression(2), PAIRWISE, untrained=(pairs,)))


@pytest.mark.parametrize("name", OF_LAYERS)
def test_a_single_block_has_no_layer_to_choose(name: str):
    config = TransformerConfig(n_layers=1, d_model=8, n_heads=2, n_ctx=20)
    model = HookedTransformer(config, ZXY.d_in(3, 1), 1, generator=seeded())
    subject = tvl.Subject((model,), TASK, ZXY, untrained=(model,), test=TEST)
    with pytest.raises(tvl.InputError, match=r"one block has no layer between two.*asked_layer=1"):
        getattr(tvl.analysis, name)(subject)


def test_what_else_a_question_needs_is_named():
    alone = replace(SUBJECT, untrained=(), snapshots=None)
    late = tvl.Subject((random_model(XYZ),), TASK, XYZ, test=TEST)
    for ask, subject, words in (
        (tvl.analysis.locality_map, alone, r"untrained model.*untrained=\(model,\)"),
        (tvl.analysis.decodability, alone, r"untrained model.*untrained=\(model,\)"),
        (tvl.analysis.emergence, alone, "No weights were kept.*with snapshots"),
        (tvl.analysis.several_vectors, late, "a prompt without examples has none. Take zxy"),
    ):
        with pytest.raises(tvl.InputError, match=words):
            ask(subject)
    with pytest.raises(tvl.InputError, match=r"Layer 4 is out of range.*0\.\.3"):
        replace(SUBJECT, asked_layer=4)
    with pytest.raises(tvl.InputError, match=r"1 functions with 50 contexts.*at least 2 of each"):
        tvl.analysis.geometry(SUBJECT, functions=1)
    with pytest.raises(tvl.InputError, match=r"8 contexts.*leave 2 functions of 20 test episodes"):
        tvl.analysis.disentanglement(SUBJECT)


def test_contexts_longer_than_a_table_of_positions_are_left_out_and_named():
    model = LinearTransformer(LinearConfig(2), 2, TRIPLET, 4, generator=seeded())
    subject = tvl.Subject((model,), tvl.MatrixRegression(2), TRIPLET, asked_layer=1, test=TEST)
    found = tvl.analysis.distribution_shifts(subject).data
    assert found.attrs["left_out"] == "6 examples"
    assert "6 examples" not in found["shift"].values
    few = replace(SUBJECT, test=replace(TEST, episodes=10))
    rotary = tvl.analysis.distribution_shifts(few).data
    assert rotary.attrs["left_out"] == "" and "6 examples" in rotary["shift"].values


def test_queries_of_other_functions_are_refused_before_any_pass():
    (episodes, queries), (_, others) = drawn(), drawn(1)
    fewer = queries.some_shots(slice(-1))
    for measure in (
        lambda asked: measure_icl_curve(*ASKED, episodes, asked, layer=1),
        lambda asked: measure_transfer(*ASKED, episodes, asked, layer=1),
        lambda asked: measure_pruning(*ASKED, episodes, asked),
        lambda asked: measure_locality_map(
            *ASKED, episodes, asked, untrained=UNTRAINED, generator=seeded()
        ),
    ):
        with pytest.raises(tvl.InputError, match=r"queries are of other functions.*fresh_queries"):
            measure(others)
        with pytest.raises(tvl.InputError, match="queries have 3 shots and the episodes 4"):
            measure(fewer)


def test_another_query_takes_the_place_of_the_last_example():
    episodes, queries = drawn()
    asked = episodes.asking(queries)
    assert asked.params is episodes.params
    for name in ("x", "y", "target"):
        values, own, new = (getattr(each, name) for each in (asked, episodes, queries))
        assert torch.equal(values[:, :-1], own[:, :-1]) and torch.equal(values[:, -1], new[:, -1])
