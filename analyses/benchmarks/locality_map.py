"""What a locality map costs: `python analyses/benchmarks/locality_map.py`."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import tyro
import xarray as xr
from peak_memory import CONTESTANTS
from sizes import Size
from timing import Where, in_turn, parse, plain_errors, ratio_figure, save, seconds_of, to_rows

from tvlens import InputError
from tvlens.results import LocalityMap

DESCRIPTION = """Time a locality map against plain loops of hooked forwards, and its memory.

All make the same arrays, which is checked. The cached loop runs the contexts once and then
one hooked forward per cell (layer, role, number of examples); the loop per cell also runs a context
of that length for each. Memory is what a map adds to the peak of a process of its own.

The defaults end in minutes; for figures to quote, --episodes 512 64 --rounds 5."""
TOLERANCE = 1e-5
REFERENCE = "tvlens"


@dataclass(frozen=True)
class Config:
    """Which maps are made."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    layers: tuple[int, ...] = (3, 12)
    """Depths of the models."""
    episodes: tuple[int, ...] = (64, 8)
    """Episodes of the maps, for each of the depths."""
    d_model: int = 64
    """Width of the models."""
    examples: int = 15
    """Examples of the longest context."""
    rounds: int = 2
    """How often each contestant is timed."""
    memory: bool = True
    """Whether memory is measured too, one process for each contestant."""

    def sizes(self) -> list[Size]:
        """One for each depth."""
        if len(self.layers) != len(self.episodes) or min(*self.episodes, self.rounds) < 1:
            raise InputError("Give as many numbers of --episodes as of --layers, and no 0.")
        pairs = zip(self.layers, self.episodes, strict=True)
        return [Size(depth, self.d_model, self.examples, batch) for depth, batch in pairs]


def main(config: Config) -> None:
    """Check, time, measure, write."""
    sizes = config.sizes()
    device = config.where.start()
    tables, rows = {}, []
    for size in sizes:
        label = f"{size.n_layers} layers, {size.batch} episodes"
        table, maps = time_maps(config, size, device, label)
        differences = compare(maps)
        if config.memory:
            table["peak_MB"] = pd.Series(
                {name: peak_memory(name, size, config.where) / 1e6 for name in table.index}
            )
        print(f"\n{label}, d_model {size.d_model}, {size.tokens} tokens")
        print(table.round(3).to_string())
        print(f"largest difference of an error: {max(differences.values()):.1e}")
        tables[label] = table
        rows.append({**asdict(size), "differences": differences, "contestants": to_rows(table)})
    content = {"reference": REFERENCE, "rounds": config.rounds, "sizes": rows}
    save(config.where, "locality_map", content, [ratio_figure(tables, REFERENCE)])


def time_maps(
    config: Config, size: Size, device: torch.device, label: str
) -> tuple[pd.DataFrame, dict[str, xr.Dataset]]:
    """Seconds of all contestants, and what they made."""
    maps: dict[str, xr.Dataset] = {}

    def contestant(name: str, how: Callable[..., LocalityMap | xr.Dataset]) -> Callable[[], float]:
        run = size.map(how, device)

        def work() -> None:
            result = run()
            maps[name] = result.data if isinstance(result, LocalityMap) else result

        replace(size, batch=2).map(how, device)()  # What only a first call pays.
        return partial(seconds_of, work, device)

    contestants = {name: contestant(name, how) for name, how in CONTESTANTS.items()}
    timing = in_turn(contestants, reference=REFERENCE, rounds=config.rounds, warmup=0, label=label)
    return timing.table(), maps


def compare(maps: dict[str, xr.Dataset]) -> dict[str, float]:
    """The largest difference to tvlens in each array.

    Raises:
        RuntimeError: it is not rounding.
    """
    expected = maps[REFERENCE]
    differences = {}
    for name, data in maps.items():
        for array in [] if name == REFERENCE else data.data_vars:
            first, second = expected[array].values, data[array].values
            if not np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
                raise RuntimeError(f"{name} and {REFERENCE} differ in {array}.")
            differences[f"{array}, {name}"] = float(np.nanmax(np.abs(first - second)))
    return differences


def peak_memory(contestant: str, size: Size, where: Where) -> float:
    """Bytes that one map adds to the peak of a new process."""
    script = Path(__file__).with_name("peak_memory.py")
    options: dict[str, Any] = {"contestant": contestant, "device": where.device}
    options |= {"threads": where.threads, **asdict(size)}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
