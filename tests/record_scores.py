"""Record the scores of all analyses of models that ship: `python tests/record_scores.py [FILE]`.

It writes `tests/data/shipped_scores.csv`, by which another implementation can show that it finds
what this one found. Rows are told apart by (question, models, score); what follows a colon in a
question (`patch_map:short`) only tells two settings apart. To repeat a row:

Numbers. Everything is computed `in_float64()`: float32 rounds differently on every CPU, and ratios
amplify it. Within it, what is drawn is drawn in float64, `build_model` makes float64 weights (drawn
in float64, so they are not those that training started from), and results are not rounded to
float32. Models that ship are loaded outside of it, and cast by `run.model.double()`.

Softmax models. `SOFTMAX` has all options that are not the defaults of the scripts in `analyses`,
whose `analyse` is what is called. With S = 20250109, on the CPU, each generator from its beginning:

- S: the test episodes, and after them from the same generator their fresh queries.
  `sample_episodes(task, episodes, examples + 1)`, or where a script asks several contexts of a
  function `sample_contexts(task, functions, contexts, examples + 1)`; then `fresh_queries`.
  `examples` are those of training. Both may be asked for one result, each of a new generator.
- S + 1: episodes and fresh queries, as many as the option `episodes` (512 if not given), on which
  the layer of a vanilla model is chosen by `best_layer`; others have that of their TVP loss.
- S + 2: all else, from one generator for each result: the controls and shifts of an analysis, the
  `relabelled` episodes of part_effects and patch_map.
- S, of numpy: geometry and decodability. Models without training: `experiment.build_model()`.

What is particular:

- conflict: `sample_contexts(task, episodes, 2)`, then fresh queries of all; first contexts are
  `both[::2]`, second `both[1::2]`, the queries `queries[::2]`.
- several_vectors: `sample_contexts(task, episodes, 5)`; the episodes asked are every fifth of their
  fresh queries.
- disentanglement: `sample_contexts(task, episodes // contexts, contexts)`.
- geometry, decodability, emergence: vectors of `sample_contexts(task, functions, contexts)`.
- noise: the grid of the script's default levels. bijections: the task with maps of every kind.
- emergence: the models are the untrained one of the last named, at step 0, and then those named, at
  steps 1 and 2; task, format, episodes and layer are those of the last.

Linear transformers. `LINEAR` has the settings, and the functions below the calls; models are all
seeds that ship of the names, in the order of `load_pretrained_linear`. Episodes are of the seed
20250609, all else of the next, but for risk_landscape, which draws on a new generator of the first.

Draws are those of torch 2.13 and numpy 2.4 on x86-64. Another number of threads, and kernels for
CPUs without AVX-512, AVX2 or FMA, change no number by more than 3e-9 (the smaller of absolute and
relative change); results that are rounded to float32 after all, by 2e-7.
"""

import csv
import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import torch
from tvlens.linear_presets import CORRELATED

import tvlens as tvl

ROOT = Path(__file__).parent.parent
FILE = ROOT / "tests" / "data" / "shipped_scores.csv"
COLUMNS = ("estimate", "low", "high")

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
    "locality_sweep": {"models": ALL, "episodes": 48},
    "locality_sweep:keep": {
        "models": ("linear-vanilla", "offset-tvp"),
        "episodes": 48,
        "position_ids": tvl.PositionIds.KEEP,
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
    "bijections": {"models": MAPS, "episodes": 256},
    "emergence": {
        "models": ("linear-vanilla", "linear-tvp"),
        "episodes": 48,
        "functions": 8,
        "contexts": 6,
    },
}
"""Options of the scripts, by question."""

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
    before = torch.get_default_dtype()
    build = {
        kind: functools.partialmethod(kind.build_model, dtype=torch.float64)
        for kind in (tvl.Experiment, tvl.LinearExperiment)
    }
    torch.set_default_dtype(torch.float64)
    try:
        with (
            mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
            mock.patch.object(torch, "float32", torch.float64),
            mock.patch.object(tvl.Experiment, "build_model", build[tvl.Experiment]),
            mock.patch.object(tvl.LinearExperiment, "build_model", build[tvl.LinearExperiment]),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


@functools.cache
def softmax_run(name: str) -> tvl.Run:
    """A softmax model that ships, in float64."""
    run = tvl.load_pretrained(name, device="cpu")
    run.model.double()
    return run


@functools.cache
def linear_runs(name: str) -> list[tvl.LinearRun]:
    """All seeds of a linear transformer that ships, in float64."""
    runs = tvl.load_pretrained_linear(name, device="cpu")
    for run in runs:
        run.model.double()
    return runs


def models(case: dict[str, Any]) -> list[tvl.LinearTransformer]:
    """The models of a case, all seeds of the first name first."""
    return [run.model for name in case["models"] for run in linear_runs(name)]


def seeded(further: int = 0) -> torch.Generator:
    """A generator of the chapters, from its beginning."""
    return torch.Generator().manual_seed(SEED + further)


def task_of(case: dict[str, Any]) -> Any:
    """What the models of a case are asked."""
    if case.get("collinear"):
        return tvl.CollinearRegression(4)
    return tvl.MatrixRegression(4, CORRELATED if case.get("correlated") else ())


# Softmax models


def subject(script: Any, name: str, options: dict[str, Any]) -> Any:
    """A model as a script asks it."""
    from study import Subject

    config = replace(script.default, **{**options, "models": (name,)})
    return Subject(name, name, softmax_run(name), config)


def ask_softmax(question: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """For each model of a question its name and what computes its result."""
    options = SOFTMAX[question]
    script = import_module(question.split(":")[0]).SCRIPT
    if question == "emergence":
        yield " ".join(options["models"]), lambda: emergence(script, options)
        return
    for name in options["models"]:
        yield name, lambda name=name: script.analyse(subject(script, name, options))


def emergence(script: Any, options: dict[str, Any]) -> tvl.Emergence:
    """What the script does, but for where the models along the training come from."""
    from contexts import sample_contexts

    last = options["models"][-1]
    asked = subject(script, last, options)
    _, task, format = asked.asked
    episodes, queries = asked.episodes()
    untrained = softmax_run(last).experiment.build_model(device="cpu")
    trained = [softmax_run(name).model for name in options["models"]]
    return tvl.analysis.emergence(
        enumerate([untrained, *trained]),
        task,
        format,
        episodes,
        queries,
        sample_contexts(asked),
        layer=asked.layer,
        generator=asked.generator,
    )


# Linear transformers


def linear_risk(case: dict[str, Any]) -> tvl.LinearRisk:
    """Of episodes of 11 shots."""
    task = task_of(case)
    episodes = tvl.sample_episodes(task, case["episodes"], 11, generator=seeded())
    return tvl.analysis.linear_risk(models(case), task, episodes)


def dropout_risk(case: dict[str, Any]) -> tvl.DropoutRisk:
    """Of episodes of 6 shots."""
    task = task_of(case)
    episodes = tvl.sample_episodes(task, case["episodes"], 6, generator=seeded())
    return tvl.analysis.dropout_risk(models(case), task, episodes, generator=seeded(1))


def demonstration_value(case: dict[str, Any]) -> tvl.DemonstrationValue:
    """Of as many shots as the models take."""
    task, some, generator = task_of(case), models(case), seeded(1)
    shots = some[0].examples + 1
    episodes = tvl.sample_episodes(task, case["episodes"], shots, generator=seeded())
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    return tvl.analysis.demonstration_value(some, task, episodes, queries, generator=generator)


def demonstration_weights(case: dict[str, Any]) -> tvl.DemonstrationWeights:
    """Of the last arrow at layer 1."""
    task, some = task_of(case), models(case)
    episodes = tvl.sample_episodes(task, case["episodes"], 6, generator=seeded())
    others = tvl.fresh_queries(task, episodes, generator=seeded(1))
    site = tvl.Site(1, tvl.Role.ARROW, -1)
    lay_out = some[0].format.context
    return tvl.analysis.demonstration_weights(some, lay_out, episodes, others, site)


def rank_sweep(case: dict[str, Any]) -> tvl.RankSweep:
    """Of so many episodes for each map."""
    tests = tvl.analysis.item_tests(4, 5, case["episodes"], generator=seeded())
    return tvl.analysis.rank_sweep(models(case), tests)


def learned_structure(case: dict[str, Any]) -> tvl.LearnedStructure:
    """Beside untrained models of the same seeds."""
    runs = [run for name in case["models"] for run in linear_runs(name)]
    untrained = [run.experiment.build_model(device="cpu") for run in runs]
    return tvl.analysis.learned_structure(models(case), task_of(case), untrained=untrained)


def risk_landscape(case: dict[str, Any]) -> tvl.RiskLandscape:
    """Of episodes of 6 shots; directions and dropout of a generator of the same seed."""
    task = task_of(case)
    episodes = tvl.sample_episodes(task, case["episodes"], 6, generator=seeded())
    return tvl.analysis.risk_landscape(
        models(case), task, episodes, generator=seeded(), draws=case["draws"]
    )


def ask_linear(question: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """For each case of a question the names of its models and what computes its result."""
    analyse = globals()[question]
    for case in LINEAR[question]:
        yield " ".join(case["models"]), lambda case=case: analyse(case)


def scores() -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    """Question, models, CPU seconds and scores of everything."""
    for question, ask in [
        *((each, ask_softmax) for each in SOFTMAX),
        *((each, ask_linear) for each in LINEAR),
    ]:
        for names, compute in ask(question):
            start = time.process_time()
            table = compute().scores()
            yield question, names, time.process_time() - start, table


def main(file: Path) -> None:
    """Write the file, and print what took how long."""
    sys.path.insert(0, str(ROOT / "analyses"))
    for name in ALL:
        softmax_run(name)
    for cases in LINEAR.values():
        for case in cases:
            models(case)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    with in_float64():
        for question, names, seconds, table in scores():
            print(f"{seconds:7.2f} s {len(table):4} scores  {question} {names}", flush=True)
            numbers = table[list(COLUMNS)].to_numpy(float)
            for score, values in zip(table.index, numbers, strict=True):
                row = (question, names, str(score), *(format(each, ".17g") for each in values))
                rows.append(row)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([("question", "models", "score", *COLUMNS), *rows])
    print(f"wrote {len(rows)} rows, {file.stat().st_size} bytes, {time.process_time():.1f} CPU s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
