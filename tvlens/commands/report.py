"""`tvlens report`: every question that applies to some models, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.commands.asked_models import Asked, Sources, loaded, named_models, subjects
from tvlens.commands.endings import quietly
from tvlens.commands.parsing import Models, parse
from tvlens.plots import Section
from tvlens.results import Result, load_results, save_results
from tvlens.studies.answers import Answers
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS, questions_named
from tvlens.studies.reports import report as write_report
from tvlens.studies.study import check_fits

DESCRIPTION = """Every question that applies to some models, on one page that works offline.

Answers that are in the output folder already are not computed again while models and options are
the same, so an interrupted report goes on where it was.

With --theory the page ends with what is said of linear transformers, and of the limits of one task
vector, beside what is found. That is measured on models that ship, whatever the page is about.

Example: tvlens report offset-vanilla offset-tvp --out figures/offset"""

QUICK = 2000
"""Episodes of the stories on a page about other models."""


@dataclass(frozen=True)
class Reported(Asked):
    """Which models are reported, and where the page goes."""

    models: Models = ("linear-vanilla", "linear-tvp")
    """Names of models that ship with tvlens, or run folders."""
    out: Path = Path("figures/report")
    """Folder of the page (report.html) and of the results of each question (.nc)."""
    questions: tuple[str, ...] = ()
    """Names of questions, geometry say; all that apply if none are given."""
    theory: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """End with the theory of linear models and the limits of one vector, on models that ship."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.theory and self.replot is not None:
            raise InputError("--replot computes nothing and --theory does; give one of them.")


def report(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens report`."""
    config = parse("tvlens report", arguments, Reported(), DESCRIPTION)
    with quietly(config.quiet):
        conduct(config)


def conduct(config: Reported) -> None:
    """Compute what is missing, write the page, and say where it is and what was not asked."""
    out, sources = writable_folder(config.out), named_models(config.models)
    runs = loaded(sources, config)
    asked = questions_named(config.questions) if config.questions else list(QUESTIONS.values())
    if config.replot is not None:
        found, left = stored(asked, config.replot, sources), {}
    else:
        found, left = answered(asked, sources, config)
    results = {
        name: [results[name] for results in found.values() if name in results] for name in sources
    }
    page = out / "report.html"
    first = {name: some[0] for name, some in runs.items()}
    write_report(page, results, first, further=theory(config) if config.theory else ())
    for name, why in left.items():
        print(f"not asked: {name}. {why}")
    print(f"wrote {page}")


def answered(
    asked: Sequence[Question], sources: Sources, config: Reported
) -> tuple[dict[str, dict[str, Result]], dict[str, str]]:
    """The results by question and model, also in files; and why others were not asked."""
    answers = Answers(config.out / "answers")
    found: dict[str, dict[str, Result]] = {}
    left: dict[str, str] = {}
    for question in progress(asked, "report"):
        results: dict[str, Result] = {}
        for name, subject in subjects(sources, config, question).items():
            try:
                check_fits(question, subject)
                results[name] = answers.ask(question, subject)
            except InputError as error:
                left[question.name] = str(error)
        if results:
            found[question.name] = results
            save_results(results, config.out / f"{question.name}.nc")
    return found, left


def stored(
    asked: Sequence[Question], folder: Path, sources: Sources
) -> dict[str, dict[str, Result]]:
    """The results of an earlier report."""
    found = {}
    for question in asked:
        file = folder / f"{question.name}.nc"
        if file.is_file():
            found[question.name] = dict(load_results(question.result, file))
    for name in sources:
        if not any(name in results for results in found.values()):
            raise InputError(f"{folder} has no results of {name!r}; report it there first.")
    return found


def theory(config: Reported) -> list[Section]:
    """The stories of linear models and of the limits of one vector, in short."""
    from tvlens.studies.books import BOOKS
    from tvlens.studies.story import Story

    story = Story(episodes=QUICK, device=config.device)
    return [book.summary(story) for book in BOOKS.values()]
