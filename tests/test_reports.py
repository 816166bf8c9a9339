"""Reports hold what they were given, and say what they cannot hold."""

import re
from pathlib import Path

import pytest
import torch

import tvlens as tvl
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.prompts import TRIPLET
from tvlens.results import ICLCurve, LocalityMap
from tvlens.studies.questions import QUESTIONS, question_of


def test_a_report_has_a_section_for_each_kind_and_the_facts_of_each_training(
    planted_map: LocalityMap, tmp_path: Path
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
        question_of(LocalityMap).title,
        question_of(ICLCurve).title,
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

    triplets = TRIPLET
    models = [
        tvl.LinearTransformer(tvl.LinearConfig(2), 2, triplets, 3, generator=rng(seed))
        for seed in range(2)
    ]
    task = tvl.MatrixRegression(2)
    episodes = tvl.sample_episodes(task, 20, 4, generator=rng())
    queries = tvl.fresh_queries(task, episodes, generator=rng(1))
    given, last = (models, task, episodes), tvl.Site(1, tvl.Role.ARROW, -1)
    tests = item_tests(2, 3, 10, generator=rng())
    results = [
        measure_rank_sweep(models, tests),
        measure_linear_risk(*given),
        measure_dropout_risk(*given, generator=rng()),
        measure_demonstration_value(*given, queries, generator=rng()),
        measure_demonstration_weights(models, triplets.context, episodes, queries, last),
        measure_learned_structure(models, task, untrained=models),
        measure_risk_landscape(*given, generator=rng()),
    ]
    asked_together = [each for each in QUESTIONS.values() if each.several_seeds]
    assert {type(each) for each in results} == {each.result for each in asked_together}
    tvl.report(tmp_path / "page.html", {"untrained": results, "the same": results})
    page = (tmp_path / "page.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == [each.title for each in asked_together]
    for each in results:
        figures = question_of(type(each)).figures({"untrained": each})
        assert figures and all(len(list(figure.data)) > 0 for figure in figures)


def test_a_report_of_nothing_or_of_the_same_twice_is_refused(
    planted_map: LocalityMap, tmp_path: Path
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
