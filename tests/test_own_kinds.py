"""Runs with classes of one's own are asked from the command line, with `--kinds`."""

import re
import shutil
from pathlib import Path

import pytest

import tvlens as tvl
from tests.own_tasks import Quadratic
from tests.running import run_command
from tvlens.commands.own_kinds import own_kinds
from tvlens.results import LocalityMap

SOURCE = Path(__file__).parent / "own_tasks.py"
FEW = ("--episodes", 16, "--device", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a task of one's own, beside the file of its class."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(SOURCE, folder / "mytask.py")
    experiment = tvl.Experiment(
        Quadratic(spread=0.5),
        model=tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2),
        train=tvl.TrainConfig(steps=2, batch=4, examples=3),
    )
    tvl.train(experiment, folder / "run", device="cpu")
    return folder / "run"


@pytest.mark.parametrize("command", ["locality-map", "report"])
def test_a_run_of_an_own_kind_is_asked(run: Path, tmp_path: Path, command: str):
    kinds = ("--kinds", f"{run.parent / 'mytask.py'}:Quadratic")
    names = ("--questions", "locality_map") if command == "report" else ()
    ended = run_command(command, run, *kinds, *names, *FEW, "--out", tmp_path)
    assert ended.code == 0, ended.error
    (found,) = tvl.results.load_results(LocalityMap, tmp_path / "locality_map.nc").values()
    assert found.data.attrs["task"] == "Quadratic"


def test_of_a_run_with_an_unknown_kind_the_error_says_to_name_it(run: Path, tmp_path: Path):
    ended = run_command("locality-map", run, *FEW, "--out", tmp_path)
    assert ended.code == 2 and ended.error.count("\n") == 1
    assert "unknown kind 'Quadratic'" in ended.error
    assert "--kinds FILE.py:CLASS" in ended.error


def test_kinds_are_classes_of_one_file(run: Path):
    file = run.parent / "mytask.py"
    quadratic, constant = own_kinds([f"{file}:Quadratic", f"{file}:Constant"])
    assert quadratic.__module__ == constant.__module__
    assert quadratic(spread=2.0).scale == Quadratic(spread=2.0).scale
    assert own_kinds([f"{file}:Quadratic"]) == (quadratic,), "the file is run once"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("none.py:Quadratic", "There is no file none.py"),
        ("mytask.py:Quadratik", "no class 'Quadratik'. Did you mean 'Quadratic'"),
        ("mytask.py:helper", "no class 'helper'"),
        ("mytask.py", "FILE.py:CLASS"),
        ("plain.py:Plain", "is no dataclass"),
        ("broken.py:Broken", "broken.py cannot be run: ZeroDivisionError"),
        ("syntax.py:Broken", "syntax.py cannot be run: SyntaxError"),
        ("text.txt:Broken", "text.txt is no Python file"),
    ],
)
def test_what_names_no_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, words: str
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(SOURCE, "mytask.py")
    Path("plain.py").write_text("class Plain: pass")
    Path("broken.py").write_text("1 / 0")
    Path("syntax.py").write_text("1 +")
    Path("text.txt").touch()
    with pytest.raises(tvl.InputError, match=re.escape(words)):
        own_kinds([named])
    ended = run_command("locality-map", "offset-tvp", "--kinds", named)
    assert ended.code == 2 and words in ended.error
