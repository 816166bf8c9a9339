"""The benchmarks of maps, scaling, operators and imports, at tiny sizes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import imports
import numpy as np
import pytest
import torch
from peak_memory import CONTESTANTS
from scaling import count_flops, log_log_slope
from sizes import Size
from timing import Where

from tests.running import Script
from tvlens.analysis.locality_map import measure_locality_map

TINY = ["--d-model", "16", "--examples", "3"]


@pytest.fixture(autouse=True)
def keep_threads() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def written(folder: Path, name: str) -> dict[str, Any]:
    assert {path.name for path in folder.iterdir()} == {f"{name}.json", f"{name}.html"}
    assert "plotly" in (folder / f"{name}.html").read_text()
    content = json.loads((folder / f"{name}.json").read_text())
    assert content["origin"]["threads"] == 1
    return content


def test_maps_are_compared_timed_and_written(script: Script, tmp_path: Path) -> None:
    ended = script(
        "benchmarks/locality_map.py",
        *(*TINY, "--layers", 1, 2, "--episodes", 4, 2, "--rounds", 1, "--no-memory"),
        *("--out", tmp_path),
    )
    assert ended.code == 0
    content = written(tmp_path, "locality_map")
    assert [size["n_layers"] for size in content["sizes"]] == [1, 2]
    for size in content["sizes"]:
        assert {row["contestant"] for row in size["contestants"]} == set(CONTESTANTS)
        assert 0 < max(size["differences"].values()) < 1e-3


@pytest.mark.parametrize("arguments", [["--episodes", 4], ["--rounds", 0]])
def test_what_can_not_be_timed_ends_with_one_line(
    script: Script, tmp_path: Path, arguments: list[object]
) -> None:
    ended = script("benchmarks/locality_map.py", *arguments, "--out", tmp_path)
    assert ended.code == 2
    assert ended.error.startswith("error: Give as many")


@pytest.mark.parametrize(
    ("contestant", "flat"),
    [("tvlens", True), pytest.param("cached loop", False, marks=pytest.mark.slow)],
)
def test_the_memory_of_a_map_does_not_grow_with_its_episodes(contestant: str, flat: bool) -> None:
    # A process of its own, whose peak no other test has raised.
    path = Path(imports.__file__).with_name("peak_memory.py")
    size = ["--n-layers", "2", *TINY, "--batch", "8192"]
    command = [sys.executable, str(path), *size, "--contestant", contestant]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    # All episodes' residual streams: 3 layers of 11 tokens of 16 numbers of 4 bytes.
    streams = 8192 * 3 * 11 * 16 * 4
    assert (0 < int(ended.stdout) < 2 * streams) == flat


def test_scaling_is_fitted_and_written(script: Script, tmp_path: Path) -> None:
    ended = script(
        "benchmarks/scaling.py",
        *("--base.batch", 2, "--base.d-model", 8, "--base.examples", 3, "--base.n-layers", 1),
        *("--d-model", 8, 16, 32, "--examples", 1, 3, 7, "--n-layers", 1, 2, 4),
        *("--batch", 2, 4, "--products", 64, 128, "--rounds", 1, "--out", tmp_path),
    )
    assert ended.code == 0
    content = written(tmp_path, "scaling")
    assert len(content["costs"]) == 3 * (3 + 3 + 3 + 2)
    for row in content["costs"]:
        assert 0 < row["share_of_peak"] < 1
    by_batch = [row for row in content["exponents"] if row["axis"] == "batch"]
    # A batch twice as large takes twice the FLOPs; the rows of a map have some in common.
    assert [row["gflops"] for row in by_batch[:2]] == pytest.approx([1, 1])
    assert all(0.9 < row["gflops"] <= 1.0001 for row in by_batch[2:])


def test_exponents_and_their_errors() -> None:
    x = np.array([1.0, 2, 4, 8, 16])
    slope, error = log_log_slope(x, 3 * x**2)
    assert slope == pytest.approx(2)
    assert error == pytest.approx(0, abs=1e-12)
    noise = np.random.default_rng(0).normal(0, 0.1, (2000, 5))
    fits = np.array([log_log_slope(x, x * np.exp(each)) for each in noise])
    assert np.mean(fits[:, 0]) == pytest.approx(1, abs=0.01)
    assert np.sqrt(np.mean(fits[:, 1] ** 2)) == pytest.approx(fits[:, 0].std(), rel=0.05)


def test_flops_are_those_of_the_formulas() -> None:
    size = Size(n_layers=2, d_model=32, examples=7, batch=4)
    forward = size.experiment().build_model(device="cpu")
    inputs = torch.zeros(4, size.tokens, forward.d_in)
    rows, width = 4 * size.tokens, 32
    blocks = 2 * (2 * rows * 12 * width**2 + 4 * rows * size.tokens * width)
    ends = 2 * rows * width * (forward.d_in + 1)
    assert count_flops(lambda: forward(inputs)) == blocks + ends
    # One map runs the context of both models.
    assert count_flops(size.map(measure_locality_map, torch.device("cpu"))) > 2 * (blocks + ends)


def test_operators_are_profiled_and_written(script: Script, tmp_path: Path) -> None:
    ended = script(
        "benchmarks/profile_step.py",
        *("--step.d-model", 32, "--step.examples", 3, "--step.batch", 16),
        *("--map.d-model", 32, "--map.examples", 3, "--map.batch", 8),
        *("--repeats", 1, "--out", tmp_path),
    )
    assert ended.code == 0
    content = written(tmp_path, "profile_step")
    for work in ("ICL step", "ICL + TVP step", "locality map"):
        shares = [row["share"] for row in content[work]["operators"]]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) == 12
        assert 0 < sum(shares) <= 1
        assert any("addmm" in row["operator"] for row in content[work]["operators"])


def test_starts_are_timed_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def note(command: list[str], threads: int) -> tuple[float, float]:
        commands.append(command)
        return 2.0, 1.0

    # The processes themselves take seconds each.
    monkeypatch.setattr(imports, "seconds_of_process", note)
    imports.main(imports.Config(Where(out=tmp_path), rounds=2))
    content = written(tmp_path, "imports")
    names = {path.name for path in imports.scripts()}
    assert "train.py" in names
    assert "linear_pictures.py" not in names
    assert len(content["CPU"]) == len(content["wall"]) == 2 + len(names)
    assert len(commands) == 3 * len(content["CPU"])
    assert {row["ratio_median"] for row in content["CPU"]} == {1.0}


def test_the_seconds_of_a_process_are_its_own() -> None:
    work = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    wall, cpu = imports.seconds_of_process(["-c", work], 1)
    assert 0.3 < cpu < 1
    assert wall > 0.25
