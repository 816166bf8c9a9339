"""Models that ship get the scores that version 0.1 gave them, to 1e-6.

The file holds the numbers of version 0.1, on the same draws. Only names have changed since: blocks
and heads count from 0, in scores whose value is a block too.

Everything is computed in float64: float32 rounds differently on every CPU, and ratios amplify it.
Other numbers of threads and other CPUs then change no number by more than 3e-9.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Generator

import tvlens as tvl
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.models import LinearTransformer
from tvlens.prompts import PositionIds
from tvlens.results import Result
from tvlens.tasks import CollinearRegression, MatrixRegression
from tvlens.training.linear_presets import CORRELATED

FILE = Path(__file__).parent / "data" / "shipped_scores.csv"
TEST_OPTIONS = ("models", "episodes", "examples")

ALL = (
    *("bijections-vanilla", "linear-arrow-tvp", "linear-arrow-vanilla", "linear-tvp"),
    *("linear-vanilla", "offset-tvp", "offset-vanilla", "relations-tvp", "relations-vanilla"),
    *("sinusoid-tvp", "sinusoid-vanilla"),
)
SOME = (
    *("linear-vanilla", "linear-arrow-tvp", "sinusoid-tvp"),
    *("offset-vanilla", "offset-tvp", "relations-tvp"),
)
SYMBOLS = ("offset-vanilla", "offset-tvp", "relations-tvp", "bijections-vanilla")
MAPS = ("bijections-vanilla", "relations-vanilla", "relations-tvp")

SOFTMAX: dict[str, dict[str, Any]] = {
    "locality_map": {"models": ALL, "episodes": 48},
    "locality_map:keep": {
        "models": ("linear-vanilla", "offset-tvp"),
        "episodes": 48,
        "position_ids": PositionIds.KEEP,
    },
    "icl_curve": {"models": SOME, "episodes": 64},
    "geometry": {"models": SOME, "episodes": 48, "functions": 12, "contexts": 8},
    "decodability": {"models": SOME, "episodes": 48, "functions": 12, "contexts": 11},
    "disentanglement": {"models": SOME, "episodes": 96, "contexts": 4},
    "transfer": {"models": SOME, "episodes": 48},
    "conflict": {"models": SOME, "episodes": 48},
    "noise": {"models": SOME, "episodes": 48},
    "distribution_shifts": {"models": SOME, "episodes": 48},
    "attention_map": {"models": SOME, "episodes": 48},
    "contributions": {"models": SOME, "episodes": 48},
    "part_effects": {"models": SOME, "episodes": 48},
    "patch_map": {"models": SOME, "episodes": 48},
    "patch_map:short": {"models": ("linear-tvp",), "episodes": 64, "examples": 4},
    "saliency_map": {"models": SOME, "episodes": 48},
    "information_flow": {"models": SOME, "episodes": 48},
    "pruning": {"models": SOME, "episodes": 48},
    "several_vectors": {"models": SOME, "episodes": 48},
    "vocabulary": {"models": SYMBOLS, "episodes": 64},
    "bijections": {"models": MAPS, "episodes": 256, "examples": 8},
    "emergence": {
        "models": ("linear-vanilla", "linear-tvp"),
        "episodes": 48,
        "functions": 8,
        "contexts": 6,
    },
}
"""Models, test episodes and options of each question; what follows a colon only tells two settings
apart."""

LINEAR: dict[str, list[dict[str, Any]]] = {
    "linear_risk": [
        {"models": ("single-1x5", "single-2x5", "pairwise-2x5", "triplet-2x5"), "episodes": 128},
        {"models": ("triplet-2x5-blind",), "episodes": 128},
        {"models": ("pairwise-2x10", "triplet-2x10", "inseparable-2x5"), "episodes": 128},
        {"models": ("single-3x5", "pairwise-3x5", "triplet-3x5"), "episodes": 128},
    ],
    "dropout_risk": [
        {
            "models": (
                *("pairwise-2x5-keep60", "pairwise-2x5-keep80", "pairwise-2x5-keep90"),
                *("triplet-2x5-keep60", "triplet-2x5-keep80", "triplet-2x5-keep90"),
            ),
            "episodes": 256,
        },
        {"models": ("pairwise-2x5-keep80-as-code", "triplet-2x5-keep80-as-code"), "episodes": 256},
    ],
    "demonstration_value": [
        {"models": ("triplet-2x5-keep80",), "episodes": 128},
        {"models": ("triplet-2x5",), "episodes": 128},
        {"models": ("triplet-2x1",), "episodes": 128, "collinear": True},
        {"models": ("triplet-3x5-keep80",), "episodes": 128, "collinear": True},
    ],
    "demonstration_weights": [
        {"models": ("triplet-2x5-keep80-causal",), "episodes": 128},
        {"models": ("triplet-2x5-keep80",), "episodes": 128},
    ],
    "rank_sweep": [{"models": ("triplet-2x5-keep80",), "episodes": 128}],
    "learned_structure": [
        {"models": ("triplet-2x5-keep80",)},
        {"models": ("triplet-2x5-blind",)},
        {"models": ("triplet-2x5-matrices",)},
        {"models": ("triplet-3x5-keep80",)},
        {"models": ("triplet-2x5-keep80-causal",)},
        {"models": ("pairwise-2x5-sparse",)},
        {"models": ("pairwise-2x5-correlated",), "correlated": True},
    ],
    "risk_landscape": [
        {"models": ("triplet-2x5-blind",), "episodes": 64, "draws": 2},
        {"models": ("triplet-2x5-keep80",), "episodes": 64, "draws": 2},
        {"models": ("pairwise-2x5-sparse",), "episodes": 64, "draws": 2},
        {
            "models": ("pairwise-2x5-correlated",),
            "episodes": 64,
            "draws": 2,
            "correlated": True,
        },
    ],
}
"""Settings of the calls of each question. The task is `MatrixRegression()`; where `collinear`
`CollinearRegression(4)`, and where `correlated` `MatrixRegression(4, CORRELATED)`."""
SEED = 20_250_609
"""Of the linear transformers' episodes."""


@contextmanager
def in_float64() -> Iterator[None]:
    """Whatever is drawn, built and kept within it is float64."""
    before, build = torch.get_default_dtype(), tvl.Experiment.build_model
    torch.set_default_dtype(torch.float64)
    exact = functools.partialmethod(build, dtype=torch.float64)
    try:
        with (
            mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
            mock.patch.object(torch, "float32", torch.float64),
            mock.patch.object(tvl.Experiment, "build_model", exact),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


@functools.cache
def runs_of(name: str) -> list[tvl.Run]:
    """All seeds of a model that ships, in float64."""
    runs = tvl.load_seeds(name, device="cpu")
    for run in runs:
        run.model.double()
    return runs


def asked(question: str, name: str) -> Result:
    """What a question finds about a softmax model."""
    settings = SOFTMAX[question]
    analysis = getattr(tvl.analysis, question.partition(":")[0])
    options = {key: value for key, value in settings.items() if key not in TEST_OPTIONS}
    (run,) = runs_of(name)
    subject = run.subject(episodes=settings["episodes"], examples=settings.get("examples"))
    if question == "emergence":
        trained = [runs_of(each)[0].model for each in settings["models"]]
        along = [subject.untrained[0], *trained]
        subject = replace(subject, snapshots=lambda: iter(enumerate(along)))
    return analysis(subject, **options)


# Linear transformers


def seeded(further: int = 0) -> Generator:
    """A generator, from its beginning."""
    return Generator().manual_seed(SEED + further)


def models(case: dict[str, Any]) -> list[LinearTransformer]:
    """The models of a case, all seeds of the first name first."""
    return [run.model for name in case["models"] for run in runs_of(name)]


def task_of(case: dict[str, Any]) -> Any:
    """What the models of a case are asked."""
    if case.get("collinear"):
        return CollinearRegression(4)
    return MatrixRegression(4, CORRELATED if case.get("correlated") else ())


def episodes_of(case: dict[str, Any], shots: int) -> tvl.Episodes:
    """The test episodes of a case."""
    return tvl.sample_episodes(task_of(case), case["episodes"], shots, generator=seeded())


def linear_risk(case: dict[str, Any]) -> Result:
    return measure_linear_risk(models(case), task_of(case), episodes_of(case, 11))


def dropout_risk(case: dict[str, Any]) -> Result:
    episodes = episodes_of(case, 6)
    return measure_dropout_risk(models(case), task_of(case), episodes, generator=seeded(1))


def demonstration_value(case: dict[str, Any]) -> Result:
    task, some, generator = task_of(case), models(case), seeded(1)
    episodes = episodes_of(case, some[0].examples + 1)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    return measure_demonstration_value(some, task, episodes, queries, generator=generator)


def demonstration_weights(case: dict[str, Any]) -> Result:
    some, episodes = models(case), episodes_of(case, 6)
    others = tvl.fresh_queries(task_of(case), episodes, generator=seeded(1))
    site = tvl.Site(1, tvl.Role.ARROW, -1)
    return measure_demonstration_weights(some, some[0].format.context, episodes, others, site)


def rank_sweep(case: dict[str, Any]) -> Result:
    tests = item_tests(4, 5, case["episodes"], generator=seeded())
    return measure_rank_sweep(models(case), tests)


def learned_structure(case: dict[str, Any]) -> Result:
    runs = [run for name in case["models"] for run in runs_of(name)]
    untrained = [run.experiment.build_model(device="cpu") for run in runs]
    return measure_learned_structure(models(case), task_of(case), untrained=untrained)


def risk_landscape(case: dict[str, Any]) -> Result:
    """Directions and dropout are of a generator of the same seed as the episodes."""
    return measure_risk_landscape(
        models(case),
        task_of(case),
        episodes_of(case, 6),
        generator=seeded(),
        draws=case["draws"],
    )


def cases() -> Iterator[tuple[str, str, Callable[[], Result]]]:
    """Question, names of the models, and what computes the result."""
    for question, settings in SOFTMAX.items():
        if question == "emergence":
            last = settings["models"][-1]
            yield question, " ".join(settings["models"]), functools.partial(asked, question, last)
            continue
        for name in settings["models"]:
            yield question, name, functools.partial(asked, question, name)
    for question, several in LINEAR.items():
        for case in several:
            yield question, " ".join(case["models"]), functools.partial(globals()[question], case)


@pytest.fixture(scope="module")
def recorded() -> pd.DataFrame:
    return pd.read_csv(FILE).set_index(["question", "models"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "names", "compute"),
    [pytest.param(*case, id=f"{case[0]} {case[1]}") for case in cases()],
)
def test_scores_are_those_of_version_1(
    question: str, names: str, compute: Callable[[], Result], recorded: pd.DataFrame
) -> None:
    for each in names.split():  # Loaded as they ship, and made exact after that.
        runs_of(each)
    with in_float64():
        found = compute().scores()
    wanted = recorded.loc[[(question, names)]].set_index("score")
    assert list(found.index) == list(wanted.index)
    columns = ["estimate", "low", "high"]
    np.testing.assert_allclose(
        found[columns].to_numpy(float), wanted[columns].to_numpy(float), rtol=1e-6, atol=1e-6
    )
