"""`tvlens sweep`: it trains a grid, asks all of it, and repeats nothing."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

import tvlens as tvl
from tests.running import Ended, run_command
from tvlens.commands.sweep import Grid, vanilla_first
from tvlens.results import AttentionMap, LocalityMap, load_results, scores_table

GRID = [
    *("--grid.tasks", "linear", "--grid.steps", "3", "--grid.depths", "2"),
    *("--episodes", "32", "--device", "cpu"),
]
NAMES = ["linear-zxy-2layers-seed0-vanilla", "linear-zxy-2layers-seed0-tvp1"]


class Swept(NamedTuple):
    """Where a sweep put its files, and how it ended."""

    runs: Path
    out: Path
    ended: Ended

    @property
    def arguments(self) -> list[object]:
        return [*GRID, "--runs", self.runs, "--out", self.out]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep over two models of two layers, one vanilla and one with a TVP loss."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep = Swept(folder / "runs", folder / "out", Ended(None, "", ""))
    return sweep._replace(ended=run_command("locality-sweep", *sweep.arguments))


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_trains_asks_and_writes(swept: Swept):
    assert swept.ended.code == 0, swept.ended.error
    files = {f"locality_map.{ending}" for ending in ("html", "nc", "csv")}
    assert {path.name for path in swept.out.iterdir() if path.is_file()} == files
    assert all(name in swept.ended.out for name in [*NAMES, *files])
    maps = load_results(LocalityMap, swept.out / "locality_map.nc")
    assert list(maps) == NAMES
    assert all(each.data.sizes["episode"] == 32 for each in maps.values())
    table = pd.read_csv(swept.out / "locality_map.csv")
    pd.testing.assert_frame_equal(table, scores_table(maps))
    for name in NAMES:
        (folder,) = swept.runs.glob(f"{name}-*")
        run = tvl.load_run(folder, device="cpu")
        assert (run.experiment.model.n_layers, run.experiment.train.steps) == (2, 3)
        prescribed = run.experiment.objective.prescribed_layer
        assert prescribed == (1 if name.endswith("tvp1") else None)


def test_a_second_sweep_trains_and_computes_nothing(swept: Swept):
    trained, answers = times(swept.runs), times(swept.out / "answers")
    maps = load_results(LocalityMap, swept.out / "locality_map.nc")
    assert run_command("locality-sweep", *swept.arguments).code == 0
    assert times(swept.runs) == trained and times(swept.out / "answers") == answers
    again = load_results(LocalityMap, swept.out / "locality_map.nc")
    assert all(again[name].data.identical(each.data) for name, each in maps.items())
    # The same model as a run folder, so under another name, is no other model.
    (folder,) = swept.runs.glob(f"{NAMES[0]}-*")
    asked = [folder, "--episodes", 32, "--out", swept.out, "--device", "cpu"]
    assert run_command("locality-map", *asked).code == 0
    assert times(swept.out / "answers") == answers
    assert run_command("locality-map", *asked, "--seed", 1).code == 0
    assert len(times(swept.out / "answers")) == len(answers) + 1


def test_a_sweep_asks_any_question(swept: Swept, tmp_path: Path):
    asked = ["attention-map", *GRID, "--runs", swept.runs, "--out", tmp_path]
    trained = times(swept.runs)
    assert run_command("sweep", *asked).code == 0
    assert list(load_results(AttentionMap, tmp_path / "attention_map.nc")) == NAMES
    assert times(swept.runs) == trained


def test_a_grid_is_every_combination_once():
    grid = Grid(("linear", "offset"), (tvl.ZXY, tvl.ARROW), (2, 3), (0, 1), (0.0, 0.5))
    experiments = grid.experiments()
    assert len(experiments) == 2**5 == len({str(each.to_json()) for each in experiments.values()})
    deep = experiments["offset-arrow-3layers-seed1-tvp0.5"]
    assert (deep.seed, deep.format, deep.model.n_layers) == (1, tvl.ARROW, 3)
    assert deep.objective.prescribed_layer == 2


def test_models_that_differ_in_their_training_stand_side_by_side():
    names = ["b-tvp1", "a-tvp", "b-vanilla", "a-vanilla"]
    ordered = vanilla_first({name: name for name in names})
    assert list(ordered) == ["a-vanilla", "a-tvp", "b-vanilla", "b-tvp1"]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["locality_mop"], "Did you mean 'locality_map'"),
        (["rank-sweep"], "asks linear ones"),
        (["locality-map", "linear-tpv"], "Did you mean 'linear-tvp'"),
        (["locality-map", "--grid.tasks", "linaer"], "linear"),
        (["locality-map", "--grid.tasks", "linear", "--grid.depths", "0"], "give at least 1"),
        (["locality-map", "--grid.tasks", "linear", "--grid.steps", "0"], "give at least 1"),
        (["locality-map", "--grid.tasks", "linear", "--grid.tvp-weights", "-1"], "negative"),
        (["locality-map", "--grid.tasks", "linear", "--runs", "FILE"], "another output folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_swept_ends_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], remedy: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("no folder")
    ended = run_command("sweep", *arguments, "--device", "cpu", "--out", "out")
    assert ended.code == 2
    assert remedy in " ".join(ended.error.replace("│", " ").split())
    assert "Traceback" not in ended.error
    assert not list(tmp_path.rglob("*.nc"))


def test_a_sweep_has_help():
    assert "--grid.tasks" in run_command("sweep", "--help").out
    shown = run_command("locality-sweep", "--help").out
    assert "--replot" in shown and "{linear,sinusoid,offset}" in shown
