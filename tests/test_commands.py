"""Commands: what they leave, what they refuse, and that they keep what they know."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tvlens as tvl
from tests.running import ANALYSES, run_command, run_script
from tvlens.commands import main as commands
from tvlens.results import ICLCurve, RankSweep, Vocabulary
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS

FEW = ("--episodes", 16, "--device", "cpu")
SMALL = (
    *("--device", "cpu", "--model.n-layers", 2, "--model.d-model", 16, "--model.n-heads", 2),
    *("--objective.tvp-layer", 1, "--train.batch", 8, "--train.examples", 4, "--train.steps", 20),
)
"""A training that takes no time."""


def plain(text: str) -> str:
    """What is said in a box, without the box."""
    return " ".join(text.replace("│", " ").split())


# The overview


def test_the_overview_waits_for_nothing_that_only_computing_needs() -> None:
    code = (
        "import sys\nfrom tvlens.commands.main import main\nmain(['--help'])\nprint(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *page, loaded = ended.stdout.splitlines()
    assert not {"torch", "transformer_lens", "sklearn"} & set(loaded.split()), ended.stderr
    assert len(page) < 50, "one page"
    named = {line.split()[0] for line in page if line.startswith("  ")}
    assert named == {*commands.OTHERS, *(each.replace("_", "-") for each in QUESTIONS)}
    assert all(any(each.title in line for line in page) for each in QUESTIONS.values())


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    ended = run_command("geometri")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error == (
        "error: There is no command 'geometri'. Did you mean 'geometry'? "
        "`tvlens --help` lists them.\n"
    )


def test_a_wrong_model_ends_a_real_process_with_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tvlens.commands.main", "locality-map", "linear-tpv"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Did you mean 'linear-tvp'" in ended.stderr
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "door", [each for each in ANALYSES.glob("*.py") if "commands.main" in each.read_text()], ids=str
)
def test_a_script_is_a_door_to_a_command(door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[list[str]] = []
    monkeypatch.setattr(commands, "main", typed.append)
    run_script(door.name, "--out", "here")
    ((command, *others),) = typed
    assert command in commands.COMMANDS
    assert others == ["--out", "here"]


# Questions


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_a_question_is_asked_and_drawn_again(question: Question, tmp_path: Path) -> None:
    model, size = question.models[:1], 16
    if question.several_seeds:
        model, size = ("triplet-2x1",), 64
    extra: tuple[object, ...] = ()
    if question.name == "emergence":
        run_command("train", *SMALL, "--snapshots", 3, "-q", "--out", tmp_path / "run")
        model = (str(tmp_path / "run"),)
    if "functions" in question.options:
        extra = ("--functions", 10, "--contexts", 12)
    if question.name in ("disentanglement", "distribution_shifts"):
        size = 80
    command, out = question.name.replace("_", "-"), tmp_path / "out"
    asked = ("--episodes", size, "--device", "cpu", *extra)
    first = run_command(command, *model, *asked, "--out", out)
    assert first.code == 0, first.error
    results = tvl.results.load_results(question.result, out / f"{question.name}.nc")
    assert list(results) == [Path(each).name for each in model]
    assert question.title in (out / f"{question.name}.html").read_text()
    scores = pd.read_csv(out / f"{question.name}.csv")
    pd.testing.assert_frame_equal(scores, tvl.results.scores_table(results), check_dtype=False)
    file = out / f"{question.name}.nc"
    again = run_command(command, "--replot", file, "--out", tmp_path / "again")
    assert again.code == 0, again.error
    assert again.out.splitlines()[:-1] == first.out.splitlines()[-len(again.out.splitlines()) : -1]


def test_a_command_leaves_a_page_a_table_and_results_of_each_model(tmp_path: Path) -> None:
    names = ["offset-vanilla", "offset-tvp"]
    ended = run_command("icl-curve", *names, *FEW, "--examples", 3, "--out", tmp_path)
    assert ended.code == 0, ended.error
    results = tvl.results.load_results(ICLCurve, tmp_path / "icl_curve.nc")
    assert list(results) == names
    table = pd.read_csv(tmp_path / "icl_curve.csv").set_index(["model", "score"])
    for name, result in results.items():
        assert result.data.examples.values.tolist() == [0, 1, 2, 3]
        expected = result.data.icl.isel(examples=-1).mean("episode")
        assert table.loc[(name, "icl"), "estimate"] == pytest.approx(float(expected), abs=1e-9)
    assert results["offset-tvp"].data.attrs["layer"] == 2  # Prescribed in training.
    assert "What the context gives" in (tmp_path / "icl_curve.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["linear-tpv"], "Did you mean 'linear-tvp'"),
        (["offset-tvp", "offset-tvp"], "Two models are called 'offset-tvp'"),
        (["offset-tvp", "--episodes", 9], "too few for intervals"),
        (["offset-tvp", "--examples", 0], "give at least 1"),
        (["offset-tvp", "--device", "cuda:99"], "cuda:99"),
        (["--replot", "nowhere.nc"], "There is no file nowhere.nc"),
        (["--replot", "FILE"], "FILE is not a readable netCDF-4 file"),
        (["offset-tvp", "--layer", 9], "boundaries 0..3"),
        (["FOLDER"], "has no experiment.json"),
        (["./none"], "no folder"),
        (["offset-tvp", "--out", "FILE"], "Give another output folder"),
        (["offset-tvp", "--kinds", "mytask.py"], "FILE.py:CLASS"),
        (["offset-tvp", "--functions", "3"], "Unrecognized options: --functions"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_what_can_not_be_asked_ends_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FILE").write_text("no netCDF")
    ended = run_command("icl-curve", *arguments)
    assert ended.code == 2
    assert words in plain(ended.error)
    assert "Traceback" not in ended.error
    assert not list(tmp_path.rglob("icl_curve.*"))


@pytest.mark.parametrize(
    ("command", "model", "words"),
    [
        ("bijections", "offset-tvp", "offset-tvp: .*ask a model of Bijections or Relations"),
        ("vocabulary", "linear-tvp", "linear-tvp: .*a task on numbers"),
        ("linear-risk", "linear-tvp", "asks linear transformers, got a HookedTransformer"),
        ("attention-map", "triplet-2x5", "triplet-2x5: .*attention patterns"),
        ("emergence", "linear-tvp", "Train with snapshots"),
    ],
)
def test_a_model_that_a_question_does_not_fit_ends_it_with_one_line(
    tmp_path: Path, command: str, model: str, words: str
) -> None:
    ended = run_command(command, model, "--device", "cpu", "--out", tmp_path)
    assert ended.code == 2
    assert re.search(words, ended.error) and ended.error.count("\n") == 1
    assert not list(tmp_path.glob("*.nc"))


def test_of_several_seeds_the_first_is_asked_and_named(tmp_path: Path) -> None:
    ended = run_command("locality-map", "triplet-2x1", *FEW, "--out", tmp_path)
    assert ended.code == 0, ended.error
    seeds = [run.experiment.seed for run in tvl.load_seeds("triplet-2x1", device="cpu")]
    said = f"triplet-2x1 was trained from {len(seeds)} seeds; asked is seed {seeds[0]}."
    assert ended.out.startswith(said)
    every = run_command("rank-sweep", "triplet-2x1", *FEW, "--out", tmp_path)
    assert every.code == 0 and "asked is seed" not in every.out
    (result,) = tvl.results.load_results(RankSweep, tmp_path / "rank_sweep.nc").values()
    assert len(seeds) in result.data.sizes.values()


def test_an_answer_that_is_there_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(monkeypatch)
    common = (*FEW, "--examples", 2, "--out", tmp_path)
    for models, extra, computed in (
        (["offset-tvp"], [], 1),
        (["offset-vanilla", "offset-tvp"], [], 1),
        (["offset-tvp"], [], 0),
        (["offset-tvp"], ["--seed", 1], 1),
        (["offset-vanilla"], [], 0),
    ):
        asked.clear()
        ended = run_command("icl-curve", *models, *common, *extra)
        assert (ended.code, len(asked)) == (0, computed), (models, extra, ended.error)
        kept = tvl.results.load_results(ICLCurve, tmp_path / "icl_curve.nc")
        assert list(kept) == models
        assert {each.data.attrs["version"] for each in kept.values()} == {tvl.__version__}


def test_an_interrupted_command_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(monkeypatch, interrupt=2)
    call = ("icl-curve", "offset-vanilla", "offset-tvp", *FEW, "--out", tmp_path)
    assert run_command(*call, "--examples", 3).code == 130
    assert not (tmp_path / "icl_curve.nc").exists(), "half a file would be drawn as a whole one"
    assert run_command(*call, "--examples", 3).code == 0
    assert len(asked) == 3, "the first model was not asked again"


def noted(monkeypatch: pytest.MonkeyPatch, interrupt: int | None = None) -> list[object]:
    """Note the calls of an analysis, and interrupt one of them."""
    calls: list[object] = []
    original = tvl.analysis.icl_curve

    def counted(*args: Any, **options: Any) -> ICLCurve:
        calls.append(args)
        if len(calls) == interrupt:
            raise KeyboardInterrupt
        return original(*args, **options)

    counted.__wrapped__ = original  # pyright: ignore[reportFunctionMemberAccess]
    counted.__annotations__ = original.__annotations__
    monkeypatch.setattr(tvl.analysis, "icl_curve", counted)
    return calls


def test_a_quiet_command_prints_nothing_but_errors(tmp_path: Path) -> None:
    common = (*FEW, "--examples", 2, "--out", tmp_path)
    assert run_command("icl-curve", "offset-tvp", *common, "-q") == (0, "", "")
    assert (tmp_path / "icl_curve.html").exists()
    ended = run_command("icl-curve", "offset-tpv", *common, "-q")
    assert (ended.code, ended.out) == (2, "") and "Did you mean 'offset-tvp'" in ended.error


# Others


def test_a_report_asks_what_applies_and_is_drawn_again(tmp_path: Path) -> None:
    names = ("--questions", "icl_curve", "vocabulary", "linear_risk")
    asked = ("report", "offset-tvp", "linear-tvp", *FEW, *names)
    ended = run_command(*asked, "--out", tmp_path)
    assert ended.code == 0, ended.error
    assert "not asked: linear_risk. This asks linear transformers" in ended.out
    vocabulary = tvl.results.load_results(Vocabulary, tmp_path / "vocabulary.nc")
    assert list(vocabulary) == ["offset-tvp"]
    page = (tmp_path / "report.html").read_text()
    for title in ("Key numbers", "What was trained", QUESTIONS["vocabulary"].title):
        assert f"<h2>{title}</h2>" in page
    again = run_command(*asked, "--replot", tmp_path, "--out", tmp_path / "again")
    assert again.code == 0, again.error
    assert (tmp_path / "again" / "report.html").read_text() == page
    missing = run_command("report", "offset-vanilla", "--replot", tmp_path, "--out", tmp_path)
    assert missing.code == 2 and "no results of 'offset-vanilla'" in missing.error


def test_the_presets_are_a_table() -> None:
    lines = run_command("presets").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(tvl.PRESETS)
    ended = run_command("presets", "triplet-2x5")
    assert all("triplet-2x5" in line for line in ended.out.splitlines()[1:])
    assert "holds 'none'" in run_command("presets", "none").error


def test_what_ships_is_checked_against_its_targets() -> None:
    ended = run_command("check", "--episodes", 64, "--device", "cpu")
    assert ended.code == 0, ended.error
    assert "offset-tvp" in ended.out and "recovery" in ended.out
    assert run_command("check", "--episodes", 3).code == 2
