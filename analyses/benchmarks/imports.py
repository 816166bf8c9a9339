"""How long tvlens takes to start: `python analyses/benchmarks/imports.py`."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from timing import (
    Timing,
    Where,
    in_turn,
    parse,
    plain_errors,
    ratio_figure,
    save,
    to_rows,
)

DESCRIPTION = """How long `import tvlens` and the --help of each script take, each in a new process,
against the import of what tvlens cannot do without: torch and xarray."""
REFERENCE = "import torch, xarray"
ANALYSES = Path(__file__).parent.parent


@dataclass(frozen=True)
class Config:
    """How often processes are started."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    rounds: int = 5
    """How often each is timed."""
    warmup: int = 1
    """How often each runs before, so that files are in the system's cache."""


def main(config: Config) -> None:
    """Time, print, write."""
    config.where.start()
    commands = {
        REFERENCE: ["-c", "import torch, xarray"],
        "import tvlens": ["-c", "import tvlens"],
        **{f"{path.name} --help": [str(path), "--help"] for path in scripts()},
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}

    def contestant(name: str) -> Callable[[], float]:
        def run() -> float:
            wall, cpu = seconds_of_process(commands[name], config.where.threads)
            walls[name].append(wall)
            return cpu

        return run

    cpu = in_turn(
        {name: contestant(name) for name in commands},
        reference=REFERENCE,
        rounds=config.rounds,
        warmup=config.warmup,
    )
    wall = Timing(pd.DataFrame(walls).iloc[config.warmup :], REFERENCE)
    tables = {"CPU": cpu.table(), "wall": wall.table()}
    for kind, table in tables.items():
        print(f"\n{kind} seconds\n{table.round(3).to_string()}")
    content = {kind: to_rows(table) for kind, table in tables.items()}
    content = {"reference": REFERENCE, "rounds": config.rounds, **content}
    save(config.where, "imports", content, [ratio_figure(tables, REFERENCE)])


def scripts() -> list[Path]:
    """What users run: the files that are not only imported by others."""
    paths = sorted(ANALYSES.glob("*.py"))
    return [path for path in paths if "__main__" in path.read_text(encoding="utf-8")]


def seconds_of_process(arguments: list[str], threads: int) -> tuple[float, float]:
    """Wall and CPU seconds of a Python process."""
    before, started = children_seconds(), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    return time.perf_counter() - started, children_seconds() - before


def children_seconds() -> float:
    """CPU seconds of the processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
