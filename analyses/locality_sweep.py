"""Where do models keep their task? `python analyses/locality_sweep.py` maps those that ship."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from command_line import parse, plain_errors
from study import Models, load_model, named_models
from tqdm import tqdm

import tvlens as tvl
from tvlens.devices import choose_device
from tvlens.experiment import Experiment
from tvlens.files import writable_folder, write_whole
from tvlens.presets import small

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """Map where models keep their task, and how strongly.

Writes one table (printed, and as .csv), one interactive page (.html, works offline) and the result
(.nc, from which --replot draws the page again without any model).

Without arguments, the models that ship with tvlens are mapped; give some of them by name, or run
folders. --grid.tasks trains what is missing over tasks x formats x depths x seeds x TVP
weights, with the small preset of each task. Maps and runs that are there already are not made
again, so an interrupted sweep continues where it was."""


@dataclass(frozen=True)
class Grid:
    """Models to train, one for each combination; none if no task is named."""

    tasks: tuple[Literal["linear", "sinusoid", "offset"], ...] = ()
    """Task families."""
    formats: tuple[tvl.PromptFormat, ...] = (tvl.ZXY,)
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
        self, task: str, format: tvl.PromptFormat, depth: int | None, seed: int, weight: float
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
class Sweep:
    """What to map, on which episodes, and where the files go."""

    models: Models = ()
    """Names of models that ship with tvlens, or run folders."""
    grid: Grid = field(default_factory=Grid)
    runs: Path = Path("runs")
    """Where the grid's models are trained."""
    out: Path = Path("figures")
    """Where table, page and result are written."""
    episodes: int = 512
    """Episodes that each model is tested on; the same for all models of a task."""
    examples: int | None = None
    """Longest context; the one of the model's training if not given."""
    seed: int = 20_250_109
    """Seed of the test episodes, which no training uses."""
    position_ids: tvl.PositionIds = tvl.PositionIds.RESET
    """Position ids of the zero-shot prompts."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    replot: Path | None = None
    """Draw table and page from this .nc file, and do nothing else."""


def main(config: Sweep) -> None:
    """Map what is asked for, then write and print."""
    out = writable_folder(config.out)
    if config.replot is not None:
        report(tvl.LocalitySweep.load(config.replot), out)
        return
    choose_device(config.device)
    if config.episodes < 10:
        raise tvl.InputError(f"--episodes {config.episodes} is too few for intervals; give 10.")
    if config.examples is not None and config.examples < 1:
        raise tvl.InputError(f"--examples {config.examples} is too few; give at least 1.")
    sources = find_sources(config)
    path = out / "locality_sweep.nc"
    known = tvl.LocalitySweep.load(path).maps if path.is_file() else {}
    maps: dict[str, tvl.LocalityMap] = {}
    for name, source in tqdm(sources.items(), desc="mapping", unit="model"):
        run = load_or_train(source, config)
        mark = fingerprint(run, config)
        if name in known and known[name].data.attrs.get("fingerprint") == mark:
            maps[name] = known[name]
        else:
            maps[name] = map_run(run, config)
            maps[name].data.attrs.update(name=name, fingerprint=mark)
            tvl.LocalitySweep({**known, **maps}).save(path)
    report(tvl.LocalitySweep(maps), out)
    print(f"wrote {path}")


def find_sources(config: Sweep) -> dict[str, Path | str | tuple[Path, Experiment]]:
    """Everything to map by name; a name or folder that is none is an error before any work."""
    shipped = tvl.list_pretrained()
    sources: dict[str, Path | str | tuple[Path, Experiment]] = {}
    for name, model in named_models(config.models).items():
        sources[name] = model
        load_model(model, "cpu")
    for name, experiment in config.grid.experiments().items():
        folder = writable_folder(config.runs) / f"{name}-{digest(experiment.to_json())[:8]}"
        sources[name] = (folder, experiment)
    return sources or {name: name for name in shipped}


def load_or_train(source: Path | str | tuple[Path, Experiment], config: Sweep) -> tvl.Run:
    """The run of a source; an unfinished one is trained to its end, with a progress bar."""
    if not isinstance(source, tuple):
        return load_model(source, config.device)
    folder, experiment = source
    if not tvl.is_finished(folder):
        states = tvl.train_run(experiment, folder, device=config.device, resume=True)
        total = experiment.train.steps
        with tqdm(total=total, desc=folder.name, unit="step", leave=False) as bar:
            for state in states:
                bar.update(state.step - bar.n)
    return tvl.load_run(folder, device=config.device)


def map_run(run: tvl.Run, config: Sweep) -> tvl.LocalityMap:
    """The locality map of one run."""
    experiment, device = run.experiment, run.model.W_E.device
    generator = torch.Generator(device).manual_seed(config.seed)
    shots = (config.examples or experiment.train.examples) + 1
    episodes = tvl.sample_episodes(experiment.task, config.episodes, shots, generator=generator)
    queries = tvl.fresh_queries(experiment.task, episodes, generator=generator)
    return tvl.analysis.locality_map(
        run.model,
        experiment.task,
        experiment.format,
        episodes,
        queries,
        untrained=experiment.build_model(device=device),
        generator=generator,
        position_ids=config.position_ids,
    )


def fingerprint(run: tvl.Run, config: Sweep) -> str:
    """Changes with the weights, the experiment and the test; then a map must be made again."""
    weights = hashlib.sha256()
    for tensor in run.model.state_dict().values():
        weights.update(tensor.cpu().numpy().tobytes())
    test = {k: asdict(config)[k] for k in ("episodes", "examples", "seed", "position_ids")}
    return digest([weights.hexdigest(), run.experiment.to_json(), test, tvl.__version__])


def digest(data: object) -> str:
    """A hash of JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def report(sweep: tvl.LocalitySweep, out: Path) -> None:
    """Print the table, write table and page, and say where."""
    table = sweep.table()
    readable = readable_table(table)
    print(readable.to_string(index=False))
    write_whole(out / "locality_sweep.csv", table.to_csv)
    tvl.plots.write_page(
        out / "locality_sweep.html",
        title="Where do transformers keep the task they infer in context?",
        text="Each cell writes one vector, read after the given number of examples, into a prompt "
        "without examples, and asks how much of what in-context learning gains is back: 1 is all, "
        "0 nothing. Layer 0 is the embedding. Intervals are 95% by bootstrap over episodes.",
        table=readable,
        sections=[(title, figures(maps)) for title, maps in sections(sweep).items()],
    )
    for ending in ("html", "csv"):
        print(f"wrote {out / 'locality_sweep'}.{ending}")


def readable_table(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that one looks at first, rounded."""
    import pandas as pd

    low, high = table["recovery_low"], table["recovery_high"]
    columns = {
        "model": table.index,
        "ICL error": table["icl"].map("{:.4f}".format),
        "zero-shot error": table["zero_shot"].map("{:.3f}".format),
        "best layer": table["best_layer"],
        "recovery": table["recovery"].map("{:.3f}".format),
        "95% interval": [f"{a:.3f} to {b:.3f}" for a, b in zip(low, high, strict=True)],
    }
    for score in ("strength", "layer_spread", "token_spread", "locality"):
        columns[score.replace("_", " ")] = table[score].map("{:.2f}".format)
    return pd.DataFrame(columns)


def sections(sweep: tvl.LocalitySweep) -> dict[str, dict[str, tvl.LocalityMap]]:
    """Models that differ in their training only, side by side, vanilla first."""
    groups: dict[str, dict[str, tvl.LocalityMap]] = {}
    for name in sorted(sweep.maps, key=lambda name: ("vanilla" not in name, name)):
        group = re.sub(r"-(vanilla|tvp[\d.]*)(?=-|$)", "", name)
        groups.setdefault(group, {})[name] = sweep.maps[name]
    return dict(sorted(groups.items()))


def figures(maps: dict[str, tvl.LocalityMap]) -> list:
    """The figures of one section."""
    curves = {name: each.curve() for name, each in maps.items()}
    return [tvl.plots.plot_locality(maps), tvl.plots.plot_icl_curve(curves)]


if __name__ == "__main__":
    with plain_errors():
        main(parse(Sweep, Sweep(), DESCRIPTION))
