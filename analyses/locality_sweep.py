"""Where do models keep their task? `python analyses/locality_sweep.py` maps those that ship."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import tyro
from study import Models, Script, Sources, Study, Subject, digest, load_model, named_models, shipped

import tvlens as tvl
from tvlens.base.devices import choose_device
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.training.experiment import Experiment
from tvlens.training.presets import small

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """Map where models keep their task, and how strongly.

Writes one table (printed, and as .csv), one interactive page (.html, works offline) and the result
(.nc, from which --replot draws the page again without any model).

--grid.tasks trains what is missing over tasks x formats x depths x seeds x TVP weights, with the
small preset of each task. Maps and runs that are there already are not made again, so an
interrupted sweep continues where it was.

Example: python analyses/locality_sweep.py --grid.tasks offset --grid.seeds 0 1 2 --out figures"""


@dataclass(frozen=True)
class Grid:
    """Models to train, one for each combination; none if no task is named."""

    tasks: tuple[str, ...] = ()
    """Names of tasks as presets have them: linear, sinusoid, offset, .."""
    formats: tuple[tvl.TokenFormat, ...] = (tvl.ZXY,)
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
        self, task: str, format: tvl.TokenFormat, depth: int | None, seed: int, weight: float
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
class Sweep(Study):
    """What to map, on which episodes, and where the answer goes."""

    ELSEWHERE: ClassVar = (*Study.ELSEWHERE, "grid", "runs")

    models: Models = ()
    """Names of models that ship with tvlens, or run folders; all that ship if none are given."""
    grid: Grid = field(default_factory=Grid)
    runs: Path = Path("runs")
    """Where the grid's models are trained."""
    position_ids: tvl.PositionIds = tvl.PositionIds.RESET
    """Position ids of the zero-shot prompts."""
    layer: tyro.conf.Suppress[int | None] = None
    """Every layer is mapped."""


def analyse(subject: Subject) -> tvl.LocalityMap:
    """The locality map of one model."""
    config = subject.config
    return tvl.analysis.locality_map(
        *subject.asked,
        *subject.episodes(),
        untrained=subject.run.experiment.build_model(device=subject.run.model.W_E.device),
        generator=subject.generator,
        position_ids=config.position_ids if isinstance(config, Sweep) else tvl.PositionIds.RESET,
    )


def sources(config: Sweep) -> Sources:
    """All models to map by name, those of the grid after they are trained.

    A name or folder that is none is an error before any work.
    """
    choose_device(config.device)
    named = named_models(config.models)
    for model in named.values():
        load_model(model, "cpu")
    for name, experiment in config.grid.experiments().items():
        folder = writable_folder(config.runs) / f"{name}-{digest(experiment.to_json())[:8]}"
        named[name] = folder
        if not tvl.is_finished(folder):
            states = tvl.train_run(experiment, folder, device=config.device, resume=True)
            for _ in progress(states, f"training {name}", experiment.train.steps):
                pass
    return vanilla_first(named or {name: name for name in shipped(tvl.TokenFormat)})


def vanilla_first(named: Sources) -> Sources:
    """Models that differ in their training only beside each other, vanilla first."""

    def key(name: str) -> tuple[str, bool, str]:
        return re.sub(r"-(vanilla|tvp[\d.]*)(?=-|$)", "", name), "vanilla" not in name, name

    return {name: named[name] for name in sorted(named, key=key)}


def readable(maps: Mapping[str, tvl.LocalityMap]) -> pd.DataFrame:
    """A row for each model, with the columns that one looks at first."""
    import pandas as pd

    rows = []
    for name, each in maps.items():
        scores = each.scores()
        estimate, recovery = scores["estimate"], scores.loc["recovery"]
        row = {
            "model": name,
            "ICL error": f"{estimate['icl']:.4f}",
            "zero-shot error": f"{estimate['zero_shot']:.3f}",
            "best layer": each.best_layer(),
            "recovery": f"{recovery.estimate:.3f}",
            "95% interval": f"{recovery.low:.3f} to {recovery.high:.3f}",
        }
        for score in ("strength", "layer_spread", "token_spread", "locality"):
            row[score.replace("_", " ")] = f"{estimate[score]:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


SCRIPT = Script("locality_sweep", tvl.LocalityMap, analyse, DESCRIPTION, Sweep(), readable)

if __name__ == "__main__":
    SCRIPT.main(sources)
