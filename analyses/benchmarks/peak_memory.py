"""How much memory one locality map takes: prints the bytes that it adds to its own process."""

import resource
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from hook_loop import hook_loop
from sizes import Size
from timing import parse, plain_errors

from tvlens.analysis.locality_map import measure_locality_map

CONTESTANTS = {
    "tvlens": measure_locality_map,
    "cached loop": partial(hook_loop, cached=True),
    "loop per cell": partial(hook_loop, cached=False),
}
"""Implementations of the same map."""


@dataclass(frozen=True)
class Config:
    """One map."""

    size: Annotated[Size, tyro.conf.arg(name="")] = Size()
    """What is mapped."""
    contestant: Literal["tvlens", "cached loop", "loop per cell"] = "tvlens"
    """What maps it."""
    device: str = "cpu"
    """Where; on a GPU its memory is what counts."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""


def main(config: Config) -> None:
    """Print the growth of the peak."""
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    how = CONTESTANTS[config.contestant]
    # What a first map loads and keeps is no part of what a map needs.
    Size(config.size.n_layers, config.size.d_model, examples=2, batch=1).map(how, device)()
    run = config.size.map(how, device)
    before = peak_bytes(device)
    run()
    print(peak_bytes(device) - before)


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has held at any time."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():
        # Where there is /proc, ru_maxrss begins at what the parent process held.
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: torch.device) -> None:
    """Let the peak begin anew at what is held now, where the system can; what an import needed for
    a moment would else hide what small work needs.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), __doc__))
