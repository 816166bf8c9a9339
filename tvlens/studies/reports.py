"""Everything that was found out about some models, on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pandas as pd

from tvlens.base.errors import InputError
from tvlens.plots.history import plot_history
from tvlens.plots.page import Section, write_page
from tvlens.results import (
    Decodability,
    Geometry,
    ICLCurve,
    LocalityMap,
    Result,
    readable_scores,
    scores_table,
    what_was_asked,
)
from tvlens.studies.pages import Page
from tvlens.studies.question import Question, few_at_a_time
from tvlens.studies.questions import QUESTIONS, question_of
from tvlens.training.run import Run

KEY_NUMBERS: dict[type[Result], dict[str, str]] = {
    LocalityMap: {
        "icl": "error in context",
        "zero_shot": "error without examples",
        "oracle": "error of the oracle",
        "best_layer": "layer of the strongest vector",
        "recovery": "recovery there",
        "strength": "strength (layer chosen on other episodes)",
        "shuffled": "control: vector of another function",
        "random": "control: random vector",
        "untrained": "control: untrained model",
        "locality": "locality",
    },
    ICLCurve: {"tvp": "error with the vector of the layer reported"},
    Geometry: {"eta2": "variance between functions (eta2)"},
    Decodability: {"r2": "parameters decoded (R²)"},
}
"""The scores that a reader looks at first, and what they are called."""


def report(
    path: Path | str,
    results: Mapping[str, Sequence[Result]],
    runs: Mapping[str, Run] | None = None,
    *,
    title: str = "Where is the task kept?",
    further: Sequence[Section] = (),
) -> None:
    """Write a page of all results, whole or not at all; it needs no network.

    Args:
        path: the file (.html).
        results: what was found about each model, by its name; one result of a kind for each.
        runs: how the models were trained, by the same names; left out where it is not known.
        title: the page's heading.
        further: what follows, about other models say.

    Raises:
        InputError: there are no results, two of a kind for one model, some that answer no question
            that a page knows, or a run of a model without results.
    """
    by_kind = _by_kind(results)
    for name in runs or {}:
        if name not in results:
            raise InputError(f"There is a run of {name!r} but no results of it.")
    sections = [_key_numbers(by_kind), *_training(runs or {})]
    for question in QUESTIONS.values():
        if question.result in by_kind:
            sections.append(question.section(by_kind[question.result]))
    models = ", ".join(results)
    write_page(
        path,
        title=title,
        text=f"Models: {models}. A task vector is what one token's residual stream holds about the "
        "task after some examples. Each section asks one question; intervals are 95%, of the "
        "episodes or functions that were drawn for the test, and say nothing of another training "
        "but where they are over seeds.",
        origin=f"Written by tvlens on {date.today().isoformat()}.",
        sections=[
            *(each for each in sections if each.figures or each.table is not None),
            *further,
        ],
    )


def question_page(question: Question, results: Mapping[str, Result]) -> Page:
    """What one question finds of some models."""
    table = question.table(results)
    tables = {question.name: scores_table(results)}
    main = Section(
        ", ".join(filter(None, results)) or "Results",
        question.figures(results),
        table,
        values=tables[question.name],
        notes=what_was_asked(results),
    )
    sections = [main]
    if question.compare is not None and len(differences := question.compare(results)):
        tables[f"{question.name}_differences"] = differences
        shown = differences.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else cell)
        sections.append(Section("Differences", table=shown, values=differences))
    return Page(question.name, question.title, question.reading, table, sections, tables)


def _by_kind(
    results: Mapping[str, Sequence[Result]],
) -> dict[type[Result], dict[str, Result]]:
    by_kind: dict[type[Result], dict[str, Result]] = {}
    for name, found in results.items():
        if isinstance(found, Result):
            raise InputError(f"The results of {name!r} are one, not a list; put it in brackets.")
        for each in found:
            question_of(type(each))
            models = by_kind.setdefault(type(each), {})
            if name in models:
                raise InputError(f"{name!r} has two results of kind {type(each).__name__}.")
            models[name] = each
    if not by_kind:
        raise InputError("There are no results to report; give those of at least one analysis.")
    return by_kind


def _key_numbers(by_kind: Mapping[type[Result], Mapping[str, Result]]) -> Section:
    """The scores that a reader looks at first."""
    tables = []
    for kind, named in KEY_NUMBERS.items():
        scores = scores_table(by_kind[kind]) if kind in by_kind else None
        if scores is not None:
            scores = scores[scores.score.isin(named)]
            tables.append(scores.assign(score=scores.score.map(named)))
    if not tables:
        return Section("Key numbers")
    values = pd.concat(tables, ignore_index=True)
    return Section(
        "Key numbers",
        table=readable_scores(values),
        values=values,
        text="Errors are shares of the error of knowing nothing, or 1 - accuracy. Recovery is the "
        "share of what the examples gain that one vector gains in a prompt without examples: 1 is "
        "all, 0 nothing, below 0 harm. A vector that suffices need not be needed: locality is 0 if "
        "the model answers as well without it.",
    )


def _training(runs: Mapping[str, Run]) -> list[Section]:
    """How the models came to be."""
    if not runs:
        return []
    facts = pd.DataFrame({name: _facts(run) for name, run in runs.items()})
    histories = few_at_a_time({name: run.history for name, run in runs.items()})
    return [
        Section(
            "What was trained",
            [plot_history(each) for each in histories],
            facts.rename_axis("").reset_index(),
            text="Losses are means over stretches of training steps, on fresh episodes.",
        )
    ]


def _described(value: Any) -> str:
    """A dataclass with its settings."""
    if isinstance(value, Enum):
        return str(value.value)
    if not is_dataclass(value):
        return str(value)
    named = [f"{each.name}={_described(getattr(value, each.name))}" for each in fields(value)]
    return f"{type(value).__name__}({', '.join(named)})"


def _facts(run: Run) -> dict[str, str]:
    experiment, train = run.experiment, run.experiment.train
    prescribed = experiment.objective.prescribed_layer
    parameters = sum(each.numel() for each in run.model.parameters())
    return {
        "task": _described(experiment.task),
        "prompt format": experiment.format.name,
        "model": _described(experiment.model),
        "parameters": f"{parameters:,}",
        "objective": _described(experiment.objective),
        "task vector prescribed": "no" if prescribed is None else f"at layer {prescribed}",
        "examples": f"up to {train.examples}",
        "optimiser": f"{type(train.optimizer).__name__} {train.optimizer.learning_rate:g}",
        "steps x batch": f"{train.steps:,} x {train.batch}",
        "seed": str(experiment.seed),
        "minutes": f"{run.provenance['training_seconds'] / 60:.1f}",
        "trained": f"{run.provenance['created'][:10]}, {run.provenance['device']}",
    }
