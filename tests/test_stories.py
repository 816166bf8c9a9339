"""The pages that tell what a paper says beside what is found."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import tvlens as tvl
from tests.running import Script
from tvlens.analysis.bijections import bijections
from tvlens.commands import report
from tvlens.commands.stories import tell
from tvlens.studies.book import Book, Chapter
from tvlens.studies.books import BOOKS
from tvlens.studies.chapters import demonstrations, several, symbols
from tvlens.studies.chapters.shipped import models, subject
from tvlens.studies.claims import Agrees, Claim, Found, claims_table, holds, lies, near
from tvlens.studies.story import Story
from tvlens.theory import ArrowSources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stories, from few episodes."""
    out = tmp_path_factory.mktemp("stories")
    for name in BOOKS:
        tell(name, ["--episodes", "200", "--device", "cpu", "--out", str(out), "-q"])
    return out


def told(folder: Path, name: str) -> pd.DataFrame:
    """The claims of a story by their ids."""
    return pd.read_csv(folder / f"{name}.csv").set_index("id")


def of(table: pd.DataFrame, *starts: str) -> pd.DataFrame:
    """The claims whose ids begin so."""
    return table.loc[table.index.str.startswith(starts)]


@pytest.mark.slow
@pytest.mark.parametrize("name", BOOKS)
def test_a_story_leaves_a_page_a_table_and_its_figures(folder: Path, name: str):
    page, table = (folder / f"{name}.html").read_text(), told(folder, name)
    assert page.startswith("<!doctype html>")
    for chapter in table.chapter.unique():
        assert f"<h2>{chapter.replace(chr(39), '&#x27;')}</h2>" in page
    assert (table.low <= table.estimate).all() and (table.estimate <= table.high).all()
    assert table.claim.is_unique
    figures = list((folder / name).glob("*.json"))
    assert len(figures) >= len(BOOKS[name].told)
    assert all(json.loads(each.read_text())["data"] for each in figures)


@pytest.mark.slow
def test_every_claim_has_an_id_of_its_own(folder: Path):
    ids = [id for name in BOOKS for id in told(folder, name).index]
    assert len(ids) == len(set(ids))
    for id in ids:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9-]*(\.[\w-]+)+", id, re.ASCII), id


@pytest.mark.slow
def test_an_id_begins_with_what_the_claim_is_from(folder: Path):
    sources = {"T": "Thm ", "P": "Prop ", "F": "Fig. ", "Tab": "Tab"}
    for name in BOOKS:
        for id, paper in told(folder, name).paper.items():
            source = re.match(r"(?P<kind>[A-Z][a-z]*)(?P<number>\d+)", str(id))
            assert source is not None
            assert paper.startswith(sources[source["kind"]]) and source["number"] in paper, id


@pytest.mark.slow
def test_the_weights_that_ship_are_what_theory_says(folder: Path):
    """These claims are of weights alone: no episode can change them."""
    table = told(folder, "linear_theory")
    of_weights = of(
        table,
        "T1.structure",
        "T2.structure",
        "T2.product",
        "P3.mixing",
        "P3.query-row",
        "P3.equal-rows",
        "P3.no-vectors",
    )
    refused = of_weights.index[of_weights.agrees == "no"]
    assert len(of_weights) == 16
    # What is found against the paper: dropout drives D off the set, and only K is a multiple of I,
    # also of the model that Proposition 3 is about.
    assert refused.tolist() == [
        "T2.structure.triplet-2x5-keep80",
        "P3.equal-rows.triplet-2x5-blind",
        "P3.equal-rows.triplet-2x5-keep80",
        "P3.no-vectors.triplet-2x5-blind",
    ]


@pytest.mark.slow
def test_models_are_at_a_minimum_whatever_the_episodes(folder: Path):
    table = told(folder, "linear_theory")
    least = table.loc["P3.least-risk"]
    assert least.agrees == "yes" and least.low > 0
    without, with_it = table.loc["P3.vectors-change-nothing"], table.loc["P5.vectors-help"]
    assert with_it.estimate > 5 * abs(without.estimate) and with_it.low > 0


@pytest.mark.slow
def test_the_gain_under_dropout_stands_beside_that_of_theory(folder: Path):
    table = told(folder, "linear_theory")
    for keep in (0.6, 0.8, 0.9):
        paper = table.paper[f"P5.gain-of-theory.keep{100 * keep:.0f}"]
        pairs = tvl.theory.optimal_pairs_dropout_risk(5, 4, keep)
        gain = 1 - tvl.theory.optimal_dropout_risk(5, 4, keep) / pairs
        assert float(paper.removeprefix("Prop 5, ")) == pytest.approx(gain, abs=5e-4)
    # Vectors never do harm where they are trained to help.
    assert (of(table, "P5.gain.").high > 0).all()


def test_an_arrow_of_the_relaxation_holds_later_examples_most():
    weights = demonstrations.relaxation(ArrowSources.UP_TO_OWN, Story(device="cpu"))
    assert (weights[1:] > weights[:-1]).all()
    # Where it does not see the y that follows it, each arrow holds one example.
    before = demonstrations.relaxation(ArrowSources.BEFORE_OWN, Story(device="cpu"))
    assert before[-1] > 1e3 * before[:-1].max()


@pytest.mark.slow
def test_one_vector_holds_a_map_of_rank_one_and_no_more(folder: Path):
    table = told(folder, "task_vector_limits")
    assert table.agrees["F4c.all-vectors"] == "yes"
    linear = of(table, "P4.rank")
    assert len(linear) == 10
    assert (
        (linear.estimate - linear.paper.str.removeprefix("Prop 4, ").astype(float)).abs() < 0.12
    ).all()
    without = table.loc["F4c.without-dropout"]
    assert without.agrees == "no" and without.high < 0.8


@pytest.mark.slow
def test_several_vectors_are_better_than_one_in_every_seed(folder: Path):
    table = told(folder, "task_vector_limits")
    gains = of(table, "Tab2.TaskV-M.")
    linear = gains.index.str.endswith("triplet-2x5-keep80")
    assert linear.sum() == 3 and (gains.agrees[linear] == "yes").all()
    # The arrow of the last query decides alone.
    maps = gains.index.str.endswith("bijections-vanilla")
    assert maps.sum() == 2
    assert (gains.loc[maps, ["estimate", "low", "high"]].to_numpy() == 0).all()


def test_the_range_of_seeds_is_that_of_single_models():
    story = Story(episodes=100, device="cpu")
    seeds = several.of_linear(story)
    assert len(seeds) == len(models(several.LINEAR, story.on))
    found = [float(several.gain_of(each, several.SEVERAL, 2).estimate) for each in seeds]
    _, _, (mean, low, high) = several.of_seeds(seeds, several.SEVERAL, 2)
    assert (low, high) == (min(found), max(found)) and low < mean < high


@pytest.mark.slow
def test_the_steps_are_in_order_where_the_blocks_are(folder: Path):
    table = told(folder, "task_vector_limits")
    flows = of(table, "F3a.order")
    assert flows.index.str.removeprefix("F3a.order.").isin(tvl.list_pretrained()).all()
    pattern = r"block (?P<concat>\d), made in (?P<form>\d), works from layer (?P<layer>\d)"
    places = flows.claim.str.extract(pattern).astype(int)
    ordered = (places.concat < places.form) & (places.form < places.layer)
    assert flows.estimate.tolist() == ordered.astype(float).tolist()
    assert ordered.any() and not ordered.all()


@pytest.mark.parametrize(
    ("found", "agrees"),
    [
        ((2.0, 1.0, 3.0), "yes"),
        ((2.0, 0.0, 3.0), "open"),
        ((-1.0, -2.0, 0.0), "no"),
        ((0.0, 0.0, 0.0), "no"),
    ],
)
def test_an_inequality_holds_of_the_whole_interval(found: Found, agrees: str):
    assert lies(found, above=0.0) == agrees
    low, high = -found[2], -found[1]
    assert lies((-found[0], low, high), below=0.0) == agrees


def test_a_number_holds_if_the_whole_interval_is_near_it():
    agrees = [holds((2.0, 1.0, 3.0), said, within=1.5) for said in (2.5, 2.6, -0.4, -0.6)]
    assert agrees == ["yes", "open", "open", "no"]
    assert holds((1.0, 1.0, 1.0), 0.995, within=0.01) == "yes"
    assert holds((1.0, 1.0, 1.0), 0.98, within=0.01) == "no"
    # Few episodes, and so a wide interval, show nothing.
    assert holds((2.0, -9.0, 9.0), 2.0, within=0.1) == "open"


def test_a_claim_is_shown_with_its_interval():
    (row,) = claims_table(
        [Claim("F1.a", "a", "1", 0.5, 0.25, 0.75, Agrees.NO, near(1.0, 0.1))]
    ).to_dict("records")
    assert row == {
        "claim": "a",
        "paper": "1",
        "we ask": "1 ± 0.1",
        "measured": "0.5 (0.25 to 0.75)",
        "agrees": "no",
    }


def test_too_few_episodes_are_refused():
    with pytest.raises(tvl.InputError, match="at least 100"):
        Story(episodes=3)


@pytest.fixture
def short_books(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Story]]:
    """Books of one chapter that notes what it is asked, in place of the stories."""
    asked = []

    def chapter(story: Story) -> Chapter:
        asked.append(story)
        figure = tvl.plots.plot_history(tvl.load_pretrained("offset-tvp", device="cpu").history)
        claims = [Claim("T0.well", "all is well", "Thm 0", 1.0, 0.5, 1.5, Agrees.YES)]
        return Chapter("Is it?", {"a": figure, "b": figure}, pd.DataFrame({"n": [1]}), claims)

    for name, each in BOOKS.items():
        monkeypatch.setitem(BOOKS, name, Book("short", each.title, "In short.", (chapter,)))
    yield asked


def test_a_report_ends_with_the_stories_if_asked(short_books: list[Story], tmp_path: Path):
    found = report.theory(report.Reported(theory=True, device="cpu"))
    assert [each.title for each in found] == [book.title for book in BOOKS.values()]
    assert [story.episodes for story in short_books] == [report.QUICK] * 2
    for each in found:
        assert len(each.figures) == 1 and each.table is not None
        assert each.table.claim.tolist() == ["all is well"]
    with pytest.raises(tvl.InputError, match="computes nothing"):
        report.Reported(theory=True, replot=tmp_path)


def test_the_command_prints_the_claims_and_where_they_are(
    short_books: list[Story], script: Script, tmp_path: Path
):
    ended = script("linear_theory.py", "--episodes", 150, "--device", "cpu", "--out", tmp_path)
    assert ended.code == 0 and "all is well" in ended.out
    *_, last = ended.out.splitlines()
    files = [Path(each) for each in last.removeprefix("wrote ").split(", ")]
    assert files == [tmp_path / each for each in ("short.html", "short.csv", "short")]
    assert {each.name for each in files[-1].iterdir()} == {"a.json", "b.json"}
    assert [story.episodes for story in short_books] == [150]
    ended = script("linear_theory.py", "--episodes", 150, "-q", "--out", tmp_path)
    assert ended.code == 0 and ended.out == ""
    ended = script("linear_theory.py", "--episodes", 3)
    assert ended.code == 2 and "3 episodes are too few" in ended.error


@pytest.mark.slow
def test_the_page_about_the_theory_shows_every_claim(folder: Path):
    page = (Path(__file__).parents[1] / "docs" / "theory.md").read_text()
    for name in BOOKS:
        cells = re.findall(rf'^claims\("{name}", (.*)\)$', page, re.MULTILINE)
        shown = [source for cell in cells for source in re.findall(r'"(.*?)"', cell)]
        assert len(shown) == len(set(shown))
        assert set(shown) == set(told(folder, name).index.str.split(".").str[0])


@pytest.mark.slow
def test_a_vector_of_one_example_answers_its_dummy_and_a_family_is_served_both_ways(folder: Path):
    table = told(folder, "task_vector_limits")
    dummies = table[table.index.str.match(r"Tab1\.dummy-\w+\.(one-way|both)$")]
    assert (
        (dummies.estimate - dummies.paper.str.removeprefix("Tab. 1, ").astype(float)).abs() < 0.1
    ).all()
    assert len(dummies) == 4
    family = of(table, "Tab1.family")
    trained = family.index.str.startswith("Tab1.family.relations-tvp")
    assert (family.estimate[trained] > 0.9).all() and (family.high[~trained] < 0.9).all()
    assert trained.sum() == 3 == (~trained).sum()


def test_kinds_taken_as_one_keep_every_episode():
    asked = subject(symbols.SOFTMAX, Story(device="cpu"), 256, examples=8)
    answers = bijections(asked)
    ways = symbols.pooled(answers, symbols.of_any_size)
    assert ways.data["kind"].values.tolist() == ["one way", "both", "copy"]
    data = answers.data
    own = data["kind"].values[data["kind_of"]]
    for i, prefixes in enumerate([("forward", "inverse"), ("both",), ("copy",)]):
        expected = [str(each).startswith(prefixes) for each in own]
        assert (ways.data["kind_of"].values == i).tolist() == expected
    # In one pass or by hand: how often one vector is right, where its dummy is the query.
    layer = int(ways.best_layer().sel(kind="both"))
    half = ways.data.isel(episode=slice(128, None)).sel(reading="one dummy", layer=layer)
    some = (half["kind_of"].values == 1) & (half["same"].values == 1)
    right = (half["answer"].values[some] == 0).mean()
    found = ways.accuracy().sel(kind="both", score="equals").estimate
    assert float(found) == pytest.approx(float(right))
