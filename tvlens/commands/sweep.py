"""`tvlens sweep`: a grid of models is trained, and all of them are asked one question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

from tvlens.base.devices import choose_device
from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.commands.ask import Asking, ask, command_of
from tvlens.commands.asked_models import Sources, loaded, named_models, shipped
from tvlens.prompts import ZXY, TokenFormat
from tvlens.studies.answers import digest
from tvlens.studies.questions import questions_named
from tvlens.training.experiment import Experiment
from tvlens.training.presets import small
from tvlens.training.runs import is_finished, train_run

DESCRIPTION = """usage: tvlens sweep QUESTION [MODEL ...] [--grid.tasks TASK ...] [OPTIONS]

Train what is missing of a grid over tasks x formats x depths x seeds x TVP weights, with the small
preset of each task, then ask all models one question.

`tvlens sweep QUESTION --help` tells the options. Runs and answers that are there already are not
made again, so an interrupted sweep continues where it was.

Example: tvlens sweep geometry --grid.tasks offset --grid.seeds 0 1 2 --out figures"""


@dataclass(frozen=True)
class Grid:
    """Models to train, one for each combination; none if no task is named."""

    tasks: tuple[Literal["linear", "sinusoid", "offset"], ...] = ()
    """Task families."""
    formats: tuple[TokenFormat, ...] = (ZXY,)
    """Prompt formats."""
    depths: tuple[int, ...] = ()
    """Numbers of layers; that of the preset if none. The vector is prescribed at the last but
    one."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of weights and training data."""
    tvp_weights: tuple[float, ...] = (0.0, 1.0)
    """Weights of the TVP loss; 0 is vanilla training."""
    steps: int | None = None
    """Training steps, the same for all; those of the preset if not given."""

    def experiments(self) -> dict[str, Experiment]:
        """Every combination by name."""
        cells = product(self.tasks, self.formats, self.depths or (None,), self.seeds)
        return {
            name: experiment
            for task, format, depth, seed in cells
            for weight in self.tvp_weights
            for name, experiment in [self._cell(task, format, depth, seed, weight)]
        }

    def _cell(
        self, task: str, format: TokenFormat, depth: int | None, seed: int, weight: float
    ) -> tuple[str, Experiment]:
        experiment = replace(small(task, format, weight), seed=seed)
        if depth is not None:
            experiment = replace(
                experiment,
                model=replace(experiment.model, n_layers=depth),
                objective=replace(experiment.objective, tvp_layer=max(depth - 1, 0)),
            )
        if self.steps is not None:
            experiment = replace(experiment, train=replace(experiment.train, steps=self.steps))
        layers = experiment.model.n_layers
        training = f"tvp{weight:g}" if weight else "vanilla"
        return f"{task}-{format.name}-{layers}layers-seed{seed}-{training}", experiment


@dataclass(frozen=True)
class Sweeping(Asking):
    """A grid of models to train, and the question that all are asked."""

    grid: Grid = field(default_factory=Grid)
    runs: Path = Path("runs")
    """Where the grid's models are trained."""

    def sources(self) -> Sources:
        """All models by name, those of the grid after they are trained; if there are none, all
        softmax transformers that ship.

        A name or folder that is none is an error before any work.
        """
        named = named_models(self.models)
        loaded(named, self)
        # With the hash of its experiment, a folder is never taken for one of other settings.
        folders = {
            f"{name}-{digest(experiment.to_json())[:8]}": (name, experiment)
            for name, experiment in self.grid.experiments().items()
        }
        for folder, (name, experiment) in folders.items():
            named[name] = self.runs / folder
            trained(experiment, self.runs / folder, self.device)
        return vanilla_first(named or {name: name for name in shipped(TokenFormat)})


def sweep(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens sweep`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(DESCRIPTION)
        return
    (question,) = questions_named([arguments[0].replace("-", "_")])
    if question.several_seeds:
        raise InputError(
            f"A sweep trains softmax transformers, and {question.name!r} asks linear ones. Train "
            "some with `tvlens train --seeds 1 2 3`."
        )
    asked = replace(question, models=())
    ask(asked, arguments[1:], Sweeping, f"sweep {command_of(question)}")


def trained(experiment: Experiment, folder: Path, device: str | None, snapshots: int = 0) -> None:
    """Train into a folder, or go on where it was, unless it is done."""
    if is_finished(folder):
        return
    choose_device(device)
    states = train_run(
        experiment, writable_folder(folder), device=device, resume=True, snapshots=snapshots
    )
    for _ in progress(states, f"training {folder.name}", experiment.train.steps):
        pass


def vanilla_first(named: Mapping[str, str | Path]) -> dict[str, str | Path]:
    """Models that differ in their training only beside each other, vanilla first."""

    def key(name: str) -> tuple[str, bool, str]:
        return re.sub(r"-(vanilla|tvp[\d.]*)(?=-|$)", "", name), "vanilla" not in name, name

    return {name: named[name] for name in sorted(named, key=key)}
