"""How benchmarks time: contestants take turns, and ratios within a turn are what counts.

Times on a shared machine drift, but they drift for all contestants alike when these run in turn,
A B C A B C .., so each round gives one ratio for each contestant. On a CPU, seconds are those that
the processor spent on this process; on a GPU, wall seconds between two waits for the device.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from clock import seconds_of
from tqdm import tqdm

from tvlens import InputError
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder, write_json, write_whole
from tvlens.base.provenance import provenance
from tvlens.commands.endings import plain_errors
from tvlens.commands.parsing import Config
from tvlens.commands.parsing import parse as parse_arguments
from tvlens.plots.theme import TEMPLATE

__all__ = ["Timing", "Where", "describe", "in_turn", "parse", "plain_errors", "save", "seconds_of"]


def parse(default: Config, description: str | None = None) -> Config:
    """The configuration that the command line asks for."""
    program = f"python analyses/benchmarks/{Path(sys.argv[0]).name}"
    return parse_arguments(program, sys.argv[1:], default, description)


@dataclass(frozen=True)
class Where:
    """Where a benchmark runs and where its files go."""

    device: str = "cpu"
    """What is timed: cpu, cuda, cuda:1, mps."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""
    out: Path = Path("figures/benchmarks")
    """Folder of the JSON and HTML files."""

    def start(self) -> torch.device:
        """Set the number of threads, and see that the device and the folder can be used."""
        if self.threads < 1:
            raise InputError(
                f"A benchmark needs a thread; give --threads at least 1, not {self.threads}."
            )
        device = choose_device(self.device)
        torch.set_num_threads(self.threads)
        writable_folder(self.out)
        return device


@dataclass(frozen=True)
class Timing:
    """Seconds of some contestants, one row for each round."""

    seconds: pd.DataFrame
    """Columns are contestants."""
    reference: str
    """The contestant that ratios are taken to."""

    def table(self) -> pd.DataFrame:
        """Seconds (median, min, max) and the ratio to the reference in the same round."""
        ratios = self.seconds.div(self.seconds[self.reference], axis=0)
        columns = {}
        for name, values in (("seconds", self.seconds), ("ratio", ratios)):
            for how in ("median", "min", "max"):
                columns[f"{name}_{how}"] = values.agg(how)
        return pd.DataFrame(columns)

    def ratios_of(self, contestant: str) -> pd.DataFrame:
        """Seconds of one contestant over those of each other in the same round."""
        others = self.seconds.drop(columns=contestant)
        ratios = others.rdiv(self.seconds[contestant], axis=0)
        return ratios.agg(["median", "min", "max"]).T


def in_turn(
    contestants: Mapping[str, Callable[[], float]],
    *,
    reference: str,
    rounds: int,
    warmup: int = 2,
    label: str = "rounds",
) -> Timing:
    """Let contestants, which return their own seconds, run in turn for some rounds."""
    for _ in range(warmup):
        for run in contestants.values():
            run()
    rows = [
        {name: run() for name, run in contestants.items()}
        for _ in tqdm(range(rounds), desc=label, leave=False)
    ]
    return Timing(pd.DataFrame(rows), reference)


def describe(device: torch.device | str) -> dict[str, Any]:
    """The machine, the versions and the date, for a result's file."""
    return provenance(device) | {"processor": _processor(), "processors": os.cpu_count()}


def save(where: Where, name: str, content: Mapping[str, Any], figures: Sequence[go.Figure]) -> None:
    """Write NAME.json (the content and where it was measured) and NAME.html, and say so."""
    path = where.out / name
    write_json(path.with_suffix(".json"), {"origin": describe(where.device), **content})
    parts = [
        figure.update_layout(template=TEMPLATE).to_html(full_html=False, include_plotlyjs=not index)
        for index, figure in enumerate(figures)
    ]
    page = "".join(parts)
    write_whole(path.with_suffix(".html"), lambda file: file.write_text(page, encoding="utf-8"))
    print(f"wrote {path}.json and {path}.html")


def ratio_figure(tables: Mapping[str, pd.DataFrame], reference: str) -> go.Figure:
    """Ratios to the reference with their range over rounds, one colour for each setting."""
    figure = go.Figure()
    for setting, table in tables.items():
        median = table["ratio_median"]
        figure.add_scatter(
            x=median,
            y=table.index,
            name=setting,
            mode="markers",
            orientation="h",
            error_x={
                "symmetric": False,
                "array": np.asarray(table["ratio_max"] - median),
                "arrayminus": np.asarray(median - table["ratio_min"]),
            },
        )
    figure.update_xaxes(title=f"time / time of {reference} (median and range over rounds)")
    figure.add_vline(x=1, line_dash="dot")
    figure.update_layout(scattermode="group", height=160 + 60 * max(map(len, tables.values())))
    return figure.update_yaxes(autorange="reversed")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as JSON objects, the index as `contestant`."""
    return json.loads(str(table.rename_axis("contestant").reset_index().to_json(orient="records")))
