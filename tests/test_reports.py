"""Reports hold what they were given, and say what they cannot hold."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import tvlens as tvl
from tvlens import results as kinds
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.plots import LINEAR_QUESTIONS, QUESTIONS, question_of
from tvlens.results import Result


def test_every_kind_of_result_of_an_analysis_answers_a_question() -> None:
    every = {each for each in vars(kinds).values() if isinstance(each, type)}
    every = {each for each in every if issubclass(each, Result)}
    no_question = {Result, tvl.History, tvl.TaskVectors, kinds.ShiftedErrors}
    assert set(QUESTIONS) | set(LINEAR_QUESTIONS) == every - no_question
    assert not set(QUESTIONS) & set(LINEAR_QUESTIONS)
    titles = [question_of(each).title for each in every - no_question]
    assert len(set(titles)) == len(titles) and all(title.endswith("?") for title in titles)


def test_a_report_has_a_section_for_each_kind_and_the_facts_of_each_training(
    planted_map: tvl.LocalityMap, tmp_path: Path
) -> None:
    run = tvl.load_pretrained("offset-tvp", device="cpu")
    results = {"a": [planted_map, planted_map.curve()], "b": [planted_map]}
    last = tvl.plots.Section("What else?", text="Of other models.")
    tvl.report(tmp_path / "page.html", results, {"a": run}, title="Two <models>", further=[last])
    page = (tmp_path / "page.html").read_text()
    assert "<h1>Two &lt;models&gt;</h1>" in page
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Key numbers",
        "What was trained",
        question_of(tvl.LocalityMap).title,
        question_of(tvl.ICLCurve).title,
        "What else?",
    ]
    anchors = re.findall(r'<section id="([^"]+)">', page)
    assert re.findall(r'<a href="#([^"]+)">', page) == anchors
    experiment = run.experiment
    task = "TokenOffset(vocabulary=32, held_out_share=0.2, split=train, noise=0.0)"
    for fact in (task, f"tvp_layer={experiment.objective.prescribed_layer}"):
        assert fact in page
    recovery = planted_map.scores().loc["recovery"]
    assert f"{recovery.estimate:.3g} ({recovery.low:.3g} to {recovery.high:.3g})" in page


def test_a_report_holds_all_results_of_linear_transformers(tmp_path: Path) -> None:
    def rng(seed: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    triplets = tvl.TRIPLET
    models = [
        tvl.LinearTransformer(tvl.LinearConfig(2), 2, triplets, 3, generator=rng(seed))
        for seed in range(2)
    ]
    task = tvl.MatrixRegression(2)
    episodes = tvl.sample_episodes(task, 20, 4, generator=rng())
    queries = tvl.fresh_queries(task, episodes, generator=rng(1))
    asked, last = (models, task, episodes), tvl.Site(1, tvl.Role.ARROW, -1)
    tests = item_tests(2, 3, 10, generator=rng())
    results = [
        measure_rank_sweep(models, tests),
        measure_linear_risk(*asked),
        measure_dropout_risk(*asked, generator=rng()),
        measure_demonstration_value(*asked, queries, generator=rng()),
        measure_demonstration_weights(models, triplets.context, episodes, queries, last),
        measure_learned_structure(models, task, untrained=models),
        measure_risk_landscape(*asked, generator=rng()),
    ]
    assert {type(each) for each in results} == set(LINEAR_QUESTIONS)
    tvl.report(tmp_path / "page.html", {"untrained": results, "the same": results})
    page = (tmp_path / "page.html").read_text()
    titles = [each.title for each in LINEAR_QUESTIONS.values()]
    assert re.findall("<h2>(.*?)</h2>", page) == titles
    for each in results:
        figures = question_of(type(each)).figures({"untrained": each})
        assert figures and all(len(list(figure.data)) > 0 for figure in figures)


def test_a_report_of_nothing_or_of_the_same_twice_is_refused(
    planted_map: tvl.LocalityMap, tmp_path: Path
) -> None:
    history = tvl.load_pretrained("offset-tvp", device="cpu").history
    for results, words in (
        ({}, "no results to report"),
        ({"a": []}, "no results to report"),
        ({"a": [planted_map, planted_map]}, "'a' has two results of kind LocalityMap"),
        ({"a": [history]}, "no page of a History"),
    ):
        with pytest.raises(tvl.InputError, match=words):
            tvl.report(tmp_path / "page.html", results)
    run = tvl.load_pretrained("offset-tvp", device="cpu")
    with pytest.raises(tvl.InputError, match="run of 'b' but no results"):
        tvl.report(tmp_path / "page.html", {"a": [planted_map]}, {"b": run})
    with pytest.raises(tvl.InputError, match=r"There is no folder .*none"):
        tvl.report(tmp_path / "none" / "page.html", {"a": [planted_map]})
    assert list(tmp_path.iterdir()) == []


def test_models_share_figures_only_with_their_family(planted_map: tvl.LocalityMap) -> None:
    def of_family(family: str) -> tvl.LocalityMap:
        return tvl.LocalityMap(planted_map.data.assign_attrs(family=family))

    named = {"a": of_family("one"), "b": of_family("two"), "c": of_family("one")}
    figures: list[Any] = question_of(tvl.LocalityMap).figures(named)
    titles = [[each.text for each in figure.layout.annotations] for figure in figures]
    assert titles == [["a", "c"], ["b"]]
    many = {str(i): planted_map for i in range(6)}
    figures = question_of(tvl.LocalityMap).figures(many)
    assert [len(figure.layout.annotations) for figure in figures] == [4, 2]
