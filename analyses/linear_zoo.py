"""Train the linear transformers that ship again: `python analyses/linear_zoo.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tvlens as tvl
from tvlens.base.progress import progress
from tvlens.commands.endings import plain_errors, quietly
from tvlens.commands.parsing import Quiet, parse

DESCRIPTION = """Train the linear transformers that ship again, from the seeds and in the batches of
seeds that their provenance names, into folders as those that ship: NAME/seed-K.

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
    for name in progress(config.only or tvl.list_pretrained_linear(), "models"):
        for experiment, folder in trainings(name, config.out):
            states = tvl.train_run(experiment, folder, device=config.device, resume=True)
            for _ in progress(states, folder.name, experiment.train.steps):
                pass
    print(f"trained into {config.out}")


def trainings(
    name: str, out: Path
) -> Iterator[tuple[tvl.LinearExperiment | tvl.LinearSeeds, Path]]:
    """What is not trained yet of a name, and the folder it goes to."""
    done = set()
    for run in tvl.load_pretrained_linear(name):
        seed = run.experiment.seed
        seeds = tuple(run.provenance.get("trained_with", ()))
        folders = [out / name / f"seed-{each}" for each in seeds or (seed,)]
        if seed in done or all(map(tvl.is_finished, folders)):
            continue
        done |= {*seeds, seed}
        if seeds:
            yield tvl.LinearSeeds(run.experiment, seeds), out / name
        else:
            yield run.experiment, folders[0]


if __name__ == "__main__":
    with plain_errors():
        config = parse("python analyses/linear_zoo.py", sys.argv[1:], Zoo(), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
