"""Quality against seconds: `python analyses/benchmarks/learning_curves.py --contest recipe`."""

import hashlib
import json
import math
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
import tyro
from plotly.colors import qualitative
from plotly.subplots import make_subplots
from timing import Where, describe, parse, plain_errors, save, seconds_of, to_rows
from tqdm import tqdm

import tvlens as tvl
from tvlens.base.files import read_json, writable_folder, write_json
from tvlens.interventions import task_vector_predictions
from tvlens.interventions.baselines import icl_errors, zero_shot_errors
from tvlens.prompts import carrier_of
from tvlens.training import AllLengths, LastLength, RandomLengths, TrainState, training_steps
from tvlens.training.presets import paper

DESCRIPTION = """Train contestants with a clock that stops while they are tested.

Contests:
recipe: a small preset, and the paper's recipe at the same depth and width until it is as good.
lengths: the TVP loss at all, at 4 random, at 1 random, or at the last context length.
precision: float32 and bfloat16.

Writes one table (printed), one page (.html) and the numbers (.json). A training that was measured
before, by the same code on the same device, is not repeated, so an interrupted contest continues;
another --out measures afresh."""

TARGETS = {
    "linear": "icl <= 0.05 and recovery >= 0.9",
    "offset": "icl <= 0.01 and tvp <= 0.01",
}
"""When a model of a task is good enough, at the longest context."""
TEST_SEED = 20_250_109
"""Seed of the test episodes, which no training uses."""


@dataclass(frozen=True)
class Benchmark:
    """Who trains, and how it is tested."""

    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    contest: Literal["recipe", "lengths", "precision"] = "recipe"
    """What the contestants differ in."""
    tasks: tuple[Literal["linear", "offset"], ...] = ("linear", "offset")
    """Task families; the first contestant is the small TVP preset of each."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds of weights and training data."""
    steps: int | None = None
    """Steps of the presets; their own if not given."""
    limit_factor: float = 10.0
    """The paper's recipe is stopped after this many times the seconds that the preset takes."""
    every: float = 0.05
    """Steps from one test to the next, as a share of those done, but at least 10."""
    episodes: int = 1024
    """Episodes of a test; the same for all models of a task."""

    def __post_init__(self) -> None:
        numbers = (self.limit_factor, self.every, self.episodes, len(self.seeds), len(self.tasks))
        if min(numbers) <= 0:
            raise tvl.InputError(
                "Give at least one task and one seed, and a limit factor, every and episodes "
                "above 0."
            )


def contestants(contest: str, preset: tvl.Experiment, task: str) -> dict[str, tvl.Experiment]:
    """Who trains on a task; the first is what the others are compared with."""
    train = preset.train
    objective: Any = preset.objective
    if contest == "precision":
        precisions = {"float32": False, "bfloat16": True}
        return {n: replace(preset, train=replace(train, bf16=b)) for n, b in precisions.items()}
    if contest == "lengths":
        lengths = {
            "4 random": RandomLengths(4),
            "1 random": RandomLengths(1),
            "last": LastLength(),
            "all": AllLengths(),
        }
        return {
            name: replace(preset, objective=replace(objective, lengths=each))
            for name, each in lengths.items()
        }
    own: Any = preset.model
    format: Any = preset.format
    model = {"n_layers": own.n_layers, "d_model": own.d_model}
    theirs = paper(task, format, objective.tvp_weight, "paper")
    theirs = replace(
        theirs,
        model=replace(theirs.model, **model),
        objective=replace(theirs.objective, tvp_layer=objective.tvp_layer),
        train=replace(theirs.train, examples=train.examples),
    )
    return {"preset": preset, "paper": theirs}


def measure(config: Benchmark, task: str, device: torch.device) -> dict[str, list[pd.DataFrame]]:
    """The learning curves of all contestants of a task, one for each seed."""
    preset, target = tvl.PRESETS[f"{task}-tvp-small"], TARGETS[task]
    if config.steps is not None:
        preset = replace(preset, train=replace(preset.train, steps=config.steps))
    experiments = contestants(config.contest, preset, task)
    curves: dict[str, list[pd.DataFrame]] = {name: [] for name in experiments}
    # Contestants take turns, so that a slow hour of the machine is not that of one of them. Only
    # the paper's recipe waits for all of the preset's, since its limit follows from them.
    order = list(product(config.seeds, experiments))
    order.sort(key=lambda cell: cell[1] == "paper")
    for seed, name in tqdm(order, desc=f"{config.contest}, {task}", unit="training"):
        until, limit = None, math.inf
        if name == "paper":
            until = target
            needed = outcomes(curves["preset"], target)["seconds"]
            limit = config.limit_factor * float(np.median(needed))
        experiment = replace(experiments[name], seed=seed)
        curves[name].append(stored_curve(config, experiment, device, until, limit))
    return curves


def stored_curve(
    config: Benchmark,
    experiment: tvl.Experiment,
    device: torch.device,
    until: str | None,
    limit: float,
) -> pd.DataFrame:
    """A learning curve that was measured before, or a new one.

    Its file is named after all that it depends on, so contests share what they have in common.
    """
    sources = sorted(Path(tvl.__file__).parent.rglob("*.py"))
    origin = describe(device)
    asked = {
        "experiment": experiment.to_json(),
        "test": [config.every, config.episodes],
        "end": [until, None if math.isinf(limit) else limit],
        "machine": [origin["processor"], origin["device"], origin["threads"]],
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(),
    }
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    path = writable_folder(config.where.out / "learning_curves") / f"{name}.json"
    if not path.is_file():
        curve = learning_curve(config, experiment, device, until, limit).to_dict(orient="list")
        write_json(path, {"origin": origin, "asked": asked, "curve": curve})
    return pd.DataFrame(read_json(path)["curve"])


def learning_curve(
    config: Benchmark,
    experiment: tvl.Experiment,
    device: torch.device,
    until: str | None = None,
    limit: float = math.inf,
) -> pd.DataFrame:
    """Train and test in turn: step, seconds of training so far and errors, a row for each test.

    Args:
        until: end when this holds; a condition on the columns.
        limit: end after this many seconds.
    """
    # The first steps of a process also set up libraries and the device.
    warm = training_steps(experiment, TrainState.start(experiment, device))
    deque(islice(warm, 2), maxlen=0)
    state = TrainState.start(experiment, device)
    steps = training_steps(experiment, state)
    rows: list[dict[str, float]] = []
    seconds = 0.0
    while state.step < experiment.train.steps and seconds < limit:
        some = islice(steps, max(10, round(config.every * state.step)))
        seconds += seconds_of(lambda some=some: deque(some, maxlen=0), device)
        errors = test(experiment, state.model, config.episodes)
        rows.append({"step": state.step, "seconds": seconds, **errors})
        if until is not None and len(pd.DataFrame(rows[-1:]).query(until)):
            break
    return pd.DataFrame(rows)


@torch.no_grad()
def test(
    experiment: tvl.Experiment, model: tvl.HookedTransformer, episodes: int
) -> dict[str, float]:
    """Errors at the longest context and, as `_mean`, over all lengths from 1; and recovery."""
    task, format, device = experiment.task, experiment.format, model.W_E.device
    objective: Any = experiment.objective
    generator = torch.Generator(device).manual_seed(TEST_SEED)
    contexts = tvl.sample_episodes(task, episodes, experiment.train.shots, generator=generator)
    queries = tvl.fresh_queries(task, contexts, generator=generator)
    site = tvl.Site(objective.tvp_layer, carrier_of(format))
    predictions = task_vector_predictions(model, format, contexts, queries, site)
    targets = queries.target[:, -predictions.shape[1] :]
    tvp = task.error(predictions, targets).mean(0)[-experiment.train.examples :]
    icl = icl_errors(model, task, format, contexts).mean("episode")[1:]
    zero_shot = float(zero_shot_errors(model, task, format, queries)[:, -1].mean())
    gain = zero_shot - float(icl[-1])
    return {
        "icl": float(icl[-1]),
        "tvp": float(tvp[-1]),
        "recovery": (zero_shot - float(tvp[-1])) / gain if gain > 0 else 0.0,
        "icl_mean": float(icl.mean()),
        "tvp_mean": float(tvp.mean()),
    }


def outcomes(curves: list[pd.DataFrame], target: str) -> pd.DataFrame:
    """A row for each training: seconds to the target, and errors at the end.

    Where the target was not `met`, the seconds are those of the whole training: a lower bound.
    """
    rows = []
    for curve in curves:
        last = curve.iloc[-1]
        reached = curve.query(target)["seconds"].tolist()
        row = {
            "met": bool(reached),
            "seconds": [*reached, last["seconds"]][0],
            "seconds_per_step": last["seconds"] / last["step"],
        }
        rows.append({**row, **last.drop(["step", "seconds"])})
    return pd.DataFrame(rows)


def summary(curves: dict[str, list[pd.DataFrame]], target: str) -> pd.DataFrame:
    """A row of text for each contestant: medians, and ranges over seeds.

    Times are compared with the first contestant's, and not at all where that missed the target.
    """
    results = {name: outcomes(each, target) for name, each in curves.items()}
    medians = {name: float(np.median(each["seconds"])) for name, each in results.items()}
    reference = next(iter(medians.values()))
    rows, reference_met = {}, False
    for name, result in results.items():
        met = result["met"].tolist().count(True)
        bound = "" if 2 * met > len(result) else "> "
        reference_met = reference_met or (not rows and not bound)
        rows[name] = {
            "met": f"{met} of {len(result)}",
            "times": f"{bound}{medians[name] / reference:.2f}" if reference_met else "-",
        }
        for column, values in result.drop(columns="met").items():
            spread = f"{values.median():.3g} ({values.min():.3g} .. {values.max():.3g})"
            rows[name][column] = bound + spread if column == "seconds" else spread
    return pd.DataFrame.from_dict(rows, orient="index")


def figure(task: str, curves: dict[str, list[pd.DataFrame]], smallest: float) -> go.Figure:
    """Errors against seconds, a line for each seed; smaller errors are drawn at the smallest."""
    kinds = {"icl": "in context", "tvp": "task vector"}
    titles = [f"{task}, {name}" for name in kinds.values()]
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=titles)
    for colour, (name, each) in zip(qualitative.D3, curves.items(), strict=False):
        for (index, curve), (column, kind) in product(enumerate(each), enumerate(kinds, start=1)):
            figure.add_scatter(
                x=curve["seconds"],
                y=curve[kind].clip(lower=smallest),
                name=name,
                legendgroup=name,
                showlegend=(index, column) == (0, 1),
                line={"color": colour, "width": 1},
                row=1,
                col=column,
            )
    figure.update_xaxes(type="log", title="seconds of training")
    figure.update_yaxes(type="log")
    return figure.update_yaxes(title="error at the longest context", col=1)


def main(config: Benchmark) -> None:
    """Measure, print and write."""
    device = config.where.start()
    tables, figures, curves = {}, [], {}
    for task in config.tasks:
        curves[task] = measure(config, task, device)
        tables[task] = summary(curves[task], TARGETS[task])
        figures.append(figure(task, curves[task], smallest=1 / config.episodes))
        print(f"{task} (target: {TARGETS[task]})\n{tables[task].to_string()}\n")
    content = {
        "targets": TARGETS,
        "seeds": config.seeds,
        "tables": {task: to_rows(table) for task, table in tables.items()},
        "outcomes": {
            task: {name: to_rows(outcomes(c, TARGETS[task])) for name, c in each.items()}
            for task, each in curves.items()
        },
    }
    save(config.where, f"learning_curves_{config.contest}", content, figures)


if __name__ == "__main__":
    with plain_errors():
        main(parse(Benchmark(), DESCRIPTION))
