"""The registry ties every analysis to its result, figures, words and options."""

import inspect
from typing import Any

import pytest

import tvlens as tvl
from tests.planted import planted_model
from tvlens import results as kinds
from tvlens.commands.ask import Asking, starting_point
from tvlens.results import History, LocalityMap, Result, TaskVectors
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS, question_of, questions_named

EVERY = pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))


def planted_subject(**changes: Any) -> tvl.Subject:
    """A planted model of three blocks that keeps its task at layer 1."""
    model, untrained = planted_model(3, 1, 2, 2), planted_model(3, 2, 3, 2)
    given: dict[str, Any] = {
        "models": (model,),
        "task": tvl.LinearRegression(d=2),
        "format": tvl.ZXY,
        "untrained": (untrained,),
        "asked_layer": 1,
        "test": tvl.Test(episodes=16, examples=4),
        "name": "planted",
    }
    return tvl.Subject(**(given | changes))


def test_every_analysis_answers_one_question() -> None:
    # Task vectors are what several analyses work on, and no answer.
    assert set(QUESTIONS) == set(tvl.analysis.__all__) - {"task_vectors"}
    titles = [question.title for question in QUESTIONS.values()]
    assert len(set(titles)) == len(titles) and all(title.endswith("?") for title in titles)


def test_every_kind_of_result_with_a_figure_answers_a_question() -> None:
    every = {each for each in vars(kinds).values() if isinstance(each, type)}
    every = {each for each in every if issubclass(each, Result)}
    no_question = {Result, History, TaskVectors, kinds.ShiftedErrors}
    assert {question.result for question in QUESTIONS.values()} == every - no_question
    assert all(question_of(each).result is each for each in every - no_question)
    with pytest.raises(tvl.InputError, match="no page of a History"):
        question_of(History)


@EVERY
def test_the_options_of_a_command_are_those_of_the_analysis(question: Question) -> None:
    parameters = inspect.signature(question.analysis).parameters
    (subject, *options) = parameters.values()
    assert subject.name == "subject"
    asked = starting_point(question, Asking).options
    assert vars(asked) == {each.name: each.default for each in options}
    documented = inspect.getdoc(question.analysis) or ""
    assert all(f"{each.name}: " in documented for each in options)


@EVERY
def test_an_analysis_gives_the_result_that_is_registered(question: Question) -> None:
    hints = inspect.get_annotations(question.analysis, eval_str=True)
    assert hints["return"] is question.result


@EVERY
def test_default_models_ship(question: Question) -> None:
    assert set(question.models) <= set(tvl.list_pretrained())
    assert question.models or question.name == "emergence"


def test_an_unknown_question_is_answered_with_the_nearest() -> None:
    with pytest.raises(tvl.InputError, match=r"no question 'geometri'. Did you mean 'geometry'"):
        questions_named(["geometri"])


def test_models_share_figures_only_with_their_family(planted_map: LocalityMap) -> None:
    def of_family(family: str) -> LocalityMap:
        return LocalityMap(planted_map.data.assign_attrs(family=family))

    question = QUESTIONS["locality_map"]
    named = {"a": of_family("one"), "b": of_family("two"), "c": of_family("one")}
    figures: list[Any] = question.figures(named)
    titles = [[each.text for each in figure.layout.annotations] for figure in figures]
    assert titles == [["a", "c"], ["b"]]
    many = {str(i): planted_map for i in range(6)}
    figures = question.figures(many)
    assert [len(figure.layout.annotations) for figure in figures] == [4, 2]


def test_a_study_asks_what_applies_and_says_why_it_left_the_rest() -> None:
    study = tvl.study(planted_subject())
    assert set(study.results) | set(study.skipped) == set(QUESTIONS)
    found = study["locality_map"]
    assert isinstance(found, LocalityMap) and found.best_layer() == 1
    assert not set(study.results) & {"vocabulary", "bijections", "emergence", "linear_risk"}
    assert "task on numbers" in study.skipped["vocabulary"]
    assert "attention patterns" in study.skipped["attention_map"]
    with pytest.raises(tvl.InputError, match=r"'vocabulary' was not asked. .*task on numbers"):
        study["vocabulary"]
    assert "not vocabulary: " in repr(study)
    html = study._repr_html_()
    assert QUESTIONS["locality_map"].title in html and "<code>vocabulary</code>" in html


def test_a_study_asks_some_questions_and_reports_each_once() -> None:
    subject = planted_subject()
    study = tvl.study(subject, ["locality_map"])
    assert list(study.results) == ["locality_map"] and not study.skipped
    alone = tvl.analysis.locality_map(subject)
    assert study["locality_map"].data.drop_attrs().identical(alone.data.drop_attrs())
    with pytest.raises(tvl.InputError, match="'geometry' was not asked; locality_map was"):
        study["geometry"]


def test_several_seeds_are_asked_only_together() -> None:
    model = planted_model(3, 1, 2, 2)
    two = planted_subject(models=(model, model), untrained=())
    assert "asks one model, and the subject has 2" in tvl.study(two).skipped["locality_map"]
