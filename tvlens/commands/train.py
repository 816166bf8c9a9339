"""`tvlens train`: one model, or several seeds of one, into a run folder."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from tvlens.base.errors import InputError, did_you_mean
from tvlens.commands.endings import Interruption, quietly
from tvlens.commands.parsing import Quiet, parse
from tvlens.training.experiment import Experiment
from tvlens.training.loop import TrainState
from tvlens.training.presets import PRESETS
from tvlens.training.runs import train_run
from tvlens.training.seeds import Seeds

DEFAULT_PRESET = "linear-tvp-small"
DESCRIPTION = """Train one model and leave a run folder.

Start from a preset (`tvlens presets` lists them) and change what you like: every field of the
experiment is an option below, and the defaults shown are those of the preset that is named.

Ctrl-C and SIGTERM leave a checkpoint; --resume continues from it as if nothing had happened.

Example: tvlens train --preset offset-tvp-small --seed 1 --out runs/offset-1"""


@dataclass(frozen=True)
class Training:
    """One training."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    """What to train."""
    preset: str = DEFAULT_PRESET
    """The experiment to start from."""
    seeds: tuple[int, ...] = ()
    """Train from all of these seeds in one batch, which small models do faster than one after the
    other, into one run folder. The experiment's own seed is not used."""
    out: Path | None = None
    """The run folder; runs/PRESET if not given."""
    device: str | None = None
    """Where to train: cuda, cuda:1, mps, cpu; the fastest there is if not given."""
    resume: bool = False
    """Continue an unfinished run in the folder."""
    compile: bool = False
    """Compile the training step first: takes a minute or more, pays in long runs, and needs a C++
    compiler on a CPU."""
    quiet: Quiet = False
    """Print nothing but errors."""
    snapshots: int = 0
    """Weights to keep along the training, evenly spaced on a log scale, for `tvlens emergence`: 0
    or at least 2."""


def train(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens train`."""
    preset = preset_named(arguments)
    config = parse("tvlens train", arguments, Training(PRESETS[preset], preset), DESCRIPTION)
    with quietly(config.quiet):
        conduct(config)


def conduct(config: Training) -> None:
    """Train, with a progress bar, until done or interrupted."""
    out = config.out or Path("runs") / config.preset
    experiment = Seeds(config.experiment, config.seeds) if config.seeds else config.experiment
    states = train_run(
        experiment,
        out,
        device=config.device,
        resume=config.resume,
        compile=config.compile,
        snapshots=config.snapshots,
    )
    interruption = Interruption()
    total = config.experiment.train.steps
    bar = tqdm(total=total, unit="step", desc=out.name, dynamic_ncols=True, disable=config.quiet)
    with bar:
        for state in states:
            bar.update(state.step - bar.n)
            if state.rows and state.rows[-1][0] == state.step:
                bar.set_postfix(latest_losses(state), refresh=False)
            if interruption.came and state.step < total:
                states.close()
                break
    if not interruption.came or bar.n == total:
        print(f"Finished. Run: {out}")
    else:
        print(f"Stopped; continue with --resume. Run: {out}")
        raise SystemExit(130)


def latest_losses(state: TrainState) -> dict[str, str]:
    """The last means that were logged, over all seeds; without what is not trained."""
    last = state.rows[-1]
    losses = {"icl": np.mean(last.icl), "tvp": np.mean(last.tvp)}
    return {name: f"{loss:.4f}" for name, loss in losses.items() if not np.isnan(loss)}


def preset_named(arguments: Sequence[str]) -> str:
    """The preset that the command line starts from, which decides all other defaults."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?", default=DEFAULT_PRESET)
    name = parser.parse_known_args(arguments)[0].preset
    if name is None:
        raise InputError("--preset wants the name of one; `tvlens presets` lists them.")
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}.{_nearest(name)}")
    return name


def _nearest(name: str) -> str:
    """A hint without the names of all presets, of which there are many."""
    hint = did_you_mean(name, PRESETS).partition(" Known:")[0]
    return f"{hint} `tvlens presets` lists them."
