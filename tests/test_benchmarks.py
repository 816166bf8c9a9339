"""The benchmarks run, and write what they say; how long anything takes is not tested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import linear_training
import pytest
import timing
import torch
import tvp_loss
from torch import Generator

from tests.running import Ended, Script
from tvlens.tasks import sample_episodes
from tvlens.training.experiment import Batch
from tvlens.training.icl_objective import AllLengths, ICLObjective
from tvlens.training.loop import TrainState, training_step

CPU = torch.device("cpu")
TINY = ["--sizes", "16", "8", "--batch", "4", "--rounds", "2"]

Benchmark = Callable[..., Ended]


@pytest.fixture
def benchmark(script: Script) -> Benchmark:
    """Run a benchmark in this process."""
    return lambda name, *arguments: script(f"benchmarks/{name}", *arguments)


def written(out: Path, name: str) -> dict[str, Any]:
    assert {path.name for path in out.iterdir()} == {f"{name}.json", f"{name}.html"}
    assert "plotly" in (out / f"{name}.html").read_text()
    return json.loads((out / f"{name}.json").read_text())


def test_a_training_step_is_timed_in_processes(benchmark: Benchmark, tmp_path: Path):
    code, printed, _ = benchmark(
        "training_step.py",
        *(*TINY, "--out", tmp_path, "--legacy-python", tmp_path / "none"),
        *("--contestants", "tvlens", "transformer-lens-3"),
    )
    assert code == 0
    assert "without transformer-lens-3" in printed
    content = written(tmp_path, "training_step")
    assert set(content["versions"]) == {"plain", "tvlens"}
    (result,) = content["results"]
    assert result["size"]["tokens"] == 8
    plain, ours = result["contestants"]
    assert (plain["contestant"], plain["ratio_median"]) == ("plain", 1.0)
    assert ours["contestant"] == "tvlens" and ours["seconds_min"] > 0
    assert [row["contestant"] for row in result["tvlens over"]] == ["plain"]


def test_the_tvp_loss_is_timed(benchmark: Benchmark, tmp_path: Path):
    assert benchmark("tvp_loss.py", *TINY, "--out", tmp_path)[0] == 0
    (result,) = written(tmp_path, "tvp_loss")["results"]
    names = [row["contestant"] for row in result["contestants"]]
    assert names[0] == "ICL loss only" and names[-1] == "sampling alone"
    assert sum(name.startswith("TVP loss") for name in names) == 5


def test_muon_is_timed(benchmark: Benchmark, tmp_path: Path):
    options = ("--presets", "offset-tvp-small", "--rounds", "1", "--out", tmp_path)
    assert benchmark("muon.py", *options)[0] == 0
    results = written(tmp_path, "muon")["results"]
    assert list(results) == [
        f"offset-tvp-small, {part}" for part in ("training step", "Muon alone")
    ]
    for rows in results.values():
        assert [row["contestant"] for row in rows] == ["tvlens", "torch.optim.Muon"]
        assert rows[1]["ratio_median"] == 1.0
    code, _, error = benchmark("muon.py", "--presets", "linear-tvp-paper", "--out", tmp_path)
    assert code == 2 and "no preset 'linear-tvp-paper' with Muon" in error


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--contestants", "tvlesn"], "Did you mean 'tvlens'"),
        (["--sizes", "64", "48"], "Give 47 or 122"),
        (["--sizes", "18", "47"], "shared by 4 heads"),
        (["--rounds", "0"], "at least 1"),
        (["--threads", "0"], "at least 1"),
        (["--device", "tpu"], "Known: cpu"),
        (["--legacy-python", "FILE"], "Cannot run FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_timed_ends_with_a_remedy(
    benchmark: Benchmark,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    remedy: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    code, _, error = benchmark("training_step.py", *TINY, *arguments)
    assert code == 2
    assert remedy in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error


def test_a_contestant_that_ends_by_itself_is_named(benchmark: Benchmark, tmp_path: Path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    arguments = ["--contestants", "transformer-lens-3", "--legacy-python", python]
    code, _, error = benchmark("training_step.py", *TINY, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert error.startswith("error: Contestant transformer-lens-3 ended by itself")
    assert error.count("\n") == 1


def test_the_step_by_hooks_is_the_step_at_all_lengths():
    objective = ICLObjective(tvp_weight=1.0, tvp_layer=2, lengths=AllLengths())
    experiment = tvp_loss.experiment(tvp_loss.Size(d_model=16, tokens=14, batch=4), objective)
    hooked, fast = (TrainState.start(experiment, torch.device("cpu")) for _ in range(2))
    for _ in range(3):
        total = tvp_loss.step_by_hooks(experiment, hooked)
        torch.testing.assert_close(total, training_step(experiment, fast).total)


def test_ratios_are_taken_within_a_round():
    # The machine gets slower from round to round, by the same factor for both.
    seconds = {
        name: iter([first, first, 2 * first, 8 * first])
        for name, first in (("fast", 1.0), ("slow", 3.0))
    }
    runs = {name: lambda values=values: next(values) for name, values in seconds.items()}
    timed = timing.in_turn(runs, reference="fast", rounds=3, warmup=1)
    table = timed.table()
    assert table.loc["slow", ["ratio_min", "ratio_median", "ratio_max"]].tolist() == [3, 3, 3]
    assert table.loc["fast", "seconds_max"] == 8
    assert timed.ratios_of("fast").loc["slow", "median"] == pytest.approx(1 / 3)


def test_steps_of_linear_transformers_are_timed(benchmark: Benchmark, tmp_path: Path):
    options = "--examples 2 --batch 4 --seeds 2 3 --rounds 2 --steps 1"
    assert benchmark("linear_training.py", *options.split(), "--out", tmp_path)[0] == 0
    (result,) = written(tmp_path, "linear_training")["results"]
    assert result["size"] == {"examples": 2, "batch": 4}
    names = [row["contestant"] for row in result["contestants"]]
    assert names[:3] == ["1 seed", "2 seeds, for each", "3 seeds, for each"]
    code, _, error = benchmark("linear_training.py", "--batch", "4", "--out", tmp_path)
    assert code == 2 and "as many batches" in error


def test_the_step_by_definition_has_the_loss_of_the_step_that_trains():
    """Both sides of the contest do the same work."""
    (experiment,) = linear_training.Config(examples=(3,), batch=(6,)).experiments()
    state = TrainState.start(experiment, CPU)
    episodes = sample_episodes(experiment.task, 6, 4, generator=Generator().manual_seed(0))
    losses = experiment.losses(state.model, Batch(episodes, {}), step=0)
    by_definition = linear_training.loss_by_definition(experiment, state.model, episodes)
    torch.testing.assert_close(losses.total, by_definition)
