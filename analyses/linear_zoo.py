"""Train the linear transformers that ship again: `python analyses/linear_zoo.py`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tvlens as tvl
from tvlens.base.progress import progress
from tvlens.commands.asked_models import shipped
from tvlens.commands.endings import plain_errors, quietly
from tvlens.commands.parsing import Quiet, parse

DESCRIPTION = """Train the linear transformers that ship again,
all seeds of a name in one batch, into
folders as those that ship.

They were trained by version 0.1, which drew the data of several seeds together: the weights come
out as others of their kind.

What is there already is left alone, so it goes on where it was interrupted. About half a minute for
each seed on one core; --only takes names.

Example: python analyses/linear_zoo.py --only triplet-2x5 --out runs/zoo-linear"""


@dataclass(frozen=True)
class Zoo:
    """What is trained again."""

    only: tuple[str, ...] = ()
    """Names of models that ship; all if none are given."""
    out: Path = Path("runs/zoo-linear")
    """Folder of the folders."""
    device: str | None = None
    """Where to train; the fastest device there is if not given."""
    quiet: Quiet = False
    """Print nothing but errors."""


def main(config: Zoo) -> None:
    """Train what is not there yet."""
    for name in progress(config.only or shipped(tvl.ColumnFormat), "models"):
        folder = config.out / name
        if tvl.is_finished(folder):
            continue
        seeds = again(name)
        states = tvl.train_run(seeds, folder, device=config.device, resume=True)
        for _ in progress(states, name, seeds.train.steps):
            pass
    print(f"trained into {config.out}")


def again(name: str) -> tvl.Seeds:
    """What a model that ships is trained by."""
    runs = tvl.load_seeds(name, device="cpu")
    return tvl.Seeds(tvl.PRESETS[name], tuple(run.experiment.seed for run in runs))


if __name__ == "__main__":
    with plain_errors():
        config = parse("python analyses/linear_zoo.py", sys.argv[1:], Zoo(), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
