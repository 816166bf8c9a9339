"""Train one model: `python analyses/train.py --preset linear-tvp-small --out runs/linear-tvp`."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from command_line import Interruption, Quiet, parse, plain_errors, quietly
from tqdm import tqdm

import tvlens as tvl
from tvlens.base.errors import did_you_mean

DEFAULT_PRESET = "linear-tvp-small"
DESCRIPTION = f"""Train one model and leave a run folder.

Start from a preset and change what you like; every field of the experiment is an option below, and
the defaults shown are those of the preset that is named. `-small` presets take minutes on a CPU,
`-paper` ones follow the recipe of arXiv 2501.09240 and want a GPU. Those named after a format of
demonstrations (single, pairwise, triplet, inseparable) are linear transformers and take a minute
or less.

Ctrl-C and SIGTERM leave a checkpoint; --resume continues from it as if nothing had happened.

Presets: {", ".join(tvl.PRESETS)}

Example: python analyses/train.py --preset offset-tvp-small --seed 1 --out runs/offset-1"""


@dataclass(frozen=True)
class Training:
    """One training."""

    experiment: Annotated[tvl.Experiment, tyro.conf.arg(name="")]
    """What to train."""
    preset: str = DEFAULT_PRESET
    """The experiment to start from."""
    seeds: tuple[int, ...] = ()
    """Train from all of these seeds in one batch, into one run folder, each as it would alone: of
    small models faster than one after the other. The experiment's own seed is not used."""
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
    """Weights to keep along the training, evenly spaced on a log scale, for analyses/emergence.py:
    0 or at least 2."""


def main(config: Training) -> None:
    """Train, with a progress bar, until done or interrupted."""
    out = config.out or Path("runs") / config.preset
    experiment = config.experiment
    if config.seeds:
        experiment = tvl.Seeds(experiment, config.seeds)
    states = tvl.train_run(
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
            if state.rows and state.rows[-1].step == state.step:
                bar.set_postfix(latest_losses(state), refresh=False)
            if interruption.came and state.step < total:
                states.close()
                break
    if not interruption.came or bar.n == total:
        print(f"Finished. Run: {out}")
    else:
        print(f"Stopped; continue with --resume. Run: {out}")
        raise SystemExit(130)


def latest_losses(state: "tvl.TrainState") -> dict[str, str]:
    """The last means that were logged, over all seeds; without what is not trained."""
    row = state.rows[-1]
    losses = {"icl": np.mean(row.icl), "tvp": np.mean(row.tvp)}
    return {name: f"{loss:.4f}" for name, loss in losses.items() if not np.isnan(loss)}


def preset_named(arguments: list[str]) -> str:
    """The preset that the command line starts from, which decides all other defaults."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=DEFAULT_PRESET)
    name = parser.parse_known_args(arguments)[0].preset
    if name not in tvl.PRESETS:
        raise tvl.InputError(f"There is no preset {name!r}.{did_you_mean(name, tvl.PRESETS)}")
    return name


if __name__ == "__main__":
    with plain_errors():
        preset = preset_named(sys.argv[1:])
        config = parse(Training, Training(tvl.PRESETS[preset], preset), DESCRIPTION)
        with quietly(config.quiet):
            main(config)
