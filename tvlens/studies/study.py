"""All questions that a model can be asked, in one call."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tvlens.analysis.shared.needs import missing
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.results import Result
from tvlens.studies.answers import Answers, origin
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS, questions_named
from tvlens.subjects import Subject, check_subject


@dataclass(frozen=True)
class Study:
    """What was found of a subject."""

    name: str
    """What the subject is called."""
    results: Mapping[str, Result]
    """By the name of the question."""
    skipped: Mapping[str, str]
    """Questions that were not asked, and why."""

    def __getitem__(self, question: str) -> Result:
        """The result of a question.

        Raises:
            InputError: it was not asked.
        """
        if question in self.results:
            return self.results[question]
        if question in self.skipped:
            raise InputError(f"{question!r} was not asked. {self.skipped[question]}")
        raise InputError(f"{question!r} was not asked; {', '.join(self.results) or 'nothing'} was.")

    def __repr__(self) -> str:
        lines = [f"<tvlens.Study of {self.name or 'a model'}: {len(self.results)} answers"]
        lines += [f"  {name}: {result}" for name, result in self.results.items()]
        lines += [f"  not {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        answered = "".join(
            f"<details><summary>{html.escape(QUESTIONS[name].title)} (<code>{name}</code>)"
            f"</summary>{result.scores().to_html(float_format='{:.4g}'.format)}</details>"
            for name, result in self.results.items()
        )
        left = "".join(
            f"<li><code>{name}</code>: {html.escape(why)}</li>"
            for name, why in self.skipped.items()
        )
        return f"{answered}<p>Not asked:</p><ul>{left}</ul>" if left else answered


def study(
    subject: Subject,
    questions: Iterable[str] | None = None,
    *,
    answers: Path | str | None = None,
) -> Study:
    """Ask every question that applies.

    Args:
        subject: who is asked.
        questions: names of questions; all that there are if None.
        answers: a folder that keeps answers and finds them again; none are kept if None.

    Raises:
        InputError: there is no question of a name, or no such subject.
    """
    check_subject(subject)
    asked = list(QUESTIONS.values()) if questions is None else questions_named(questions)
    kept = None if answers is None else Answers(Path(answers))
    results: dict[str, Result] = {}
    skipped: dict[str, str] = {}
    for each in progress(asked, "study"):
        try:
            check_fits(each, subject)
            results[each.name] = _answer(each, subject) if kept is None else kept.ask(each, subject)
        except InputError as error:
            skipped[each.name] = str(error)
    return Study(subject.name, results, skipped)


def _answer(question: Question, subject: Subject) -> Result:
    result = question.analysis(subject)
    result.data.attrs |= origin(subject)
    return result


def check_fits(question: Question, subject: Subject) -> None:
    """Raise InputError if a question cannot be put to a subject."""
    if len(subject.models) > 1 and not question.several_seeds:
        raise InputError(f"This asks one model, and the subject has {len(subject.models)}.")
    for why in missing(question.analysis, subject):
        raise InputError(why)
