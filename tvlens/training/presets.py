"""Named experiments: `*-small` for minutes on a CPU, `*-paper` with the paper's recipe for a GPU.

A name is task[-format]-training-size: `linear-tvp-small`, `offset-vanilla-paper`,
`linear-arrow-tvp-small`; the format is z x y where none is named, but that of maps between symbols
(`bijections`, `relations`) is arrow, as their paper has it. The task vector of a `tvp` preset is
prescribed at the last layer but one. Those of linear transformers are in `linear_presets`.
"""

from dataclasses import replace
from typing import NamedTuple

from tvlens.base.errors import InputError, did_you_mean
from tvlens.models import Positions, TransformerConfig
from tvlens.prompts import ARROW, ZXY, TokenFormat
from tvlens.tasks import Bijections, LinearRegression, Relations, Sinusoid, Task, TokenOffset
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.icl_objective import AllLengths, ICLObjective, Query, RandomLengths
from tvlens.training.linear_presets import linear_presets
from tvlens.training.optimization import Adam, Muon, Schedule


class Small(NamedTuple):
    """A task, and what a small model needs to learn it."""

    task: Task
    n_layers: int
    batch: int
    steps: int
    """With a TVP loss."""


TASKS = {
    # A linear regressor needs one block more to gather its weights at a token.
    "linear": Small(LinearRegression(), n_layers=4, batch=64, steps=3500),
    "sinusoid": Small(Sinusoid(), n_layers=3, batch=64, steps=3000),
    "offset": Small(TokenOffset(), n_layers=3, batch=32, steps=3000),
    "bijections": Small(Bijections(), n_layers=3, batch=64, steps=1500),
    "relations": Small(Relations(), n_layers=3, batch=64, steps=1500),
}
"""Tasks by the names that presets have for them."""
MAPS = ("bijections", "relations")
"""Tasks of arXiv 2506.09048, and a counter-example: small presets in format arrow only."""
FORMATS: dict[str, TokenFormat] = {"": ZXY, "-arrow": ARROW}

SMALL_MODEL = TransformerConfig(n_layers=3, d_model=64, positions=Positions.ROTARY, init_std=0.2)
SMALL_LENGTHS = RandomLengths(k=4)
SMALL_RATE = 0.006
"""Muon's learning rate. Three times as much leaves some seeds of the token offset on a plateau, and
all of the arrow format."""
ARROW_STEPS = 1.5
"""How many times the steps the arrow format takes: its answer token must learn two copies at once
before either pays."""

PAPER_MODELS = {
    "paper": TransformerConfig(n_layers=3, d_model=64, n_heads=2),
    "paper-6-layers": TransformerConfig(n_layers=6, d_model=128, n_heads=4),
    "paper-12-layers": TransformerConfig(n_layers=12, d_model=256, n_heads=8),
}
PAPER_TRAINING = TrainConfig(
    steps=300_000,
    batch=256,
    optimizer=Adam(learning_rate=1e-4, beta2=0.999),
    schedule=Schedule.CONSTANT,
    warmup=0,
    checkpoint_every=5000,
)


def small(task_name: str, format: TokenFormat, tvp_weight: float) -> Experiment:
    """A small experiment, with or without a TVP loss.

    A vanilla one gets more steps, so that both run the same number of tokens through the model.

    Raises:
        InputError: there is no task of this name.
    """
    if task_name not in TASKS:
        raise InputError(f"There is no task {task_name!r}.{did_you_mean(task_name, TASKS)}")
    task, n_layers, batch, steps = TASKS[task_name]
    optimizer = Muon(learning_rate=SMALL_RATE)
    steps = round(ARROW_STEPS * steps) if format == ARROW else steps
    train = TrainConfig(steps=steps, batch=batch, optimizer=optimizer, checkpoint_every=500)
    objective = _objective(format, tvp_weight, n_layers)
    if tvp_weight == 0:
        context = format.n_tokens(train.shots)
        prompted = SMALL_LENGTHS.k * len(format.query)
        train = replace(train, steps=round(steps * (context + prompted) / context))
    else:
        objective = replace(objective, lengths=SMALL_LENGTHS)
    model = replace(SMALL_MODEL, n_layers=n_layers)
    return Experiment(task, format, model, objective, train)


def paper(task_name: str, format: TokenFormat, tvp_weight: float, size: str) -> Experiment:
    """An experiment with the recipe of arXiv 2501.09240."""
    model = PAPER_MODELS[size]
    objective = _objective(format, tvp_weight, model.n_layers)
    return Experiment(TASKS[task_name].task, format, model, objective, PAPER_TRAINING)


def _objective(format: TokenFormat, tvp_weight: float, n_layers: int) -> ICLObjective:
    query = Query.FRESH if format.carrier_sees_query else Query.NEXT
    if tvp_weight == 0:
        return ICLObjective()
    return ICLObjective(tvp_weight, tvp_layer=n_layers - 1, lengths=AllLengths(), query=query)


def _presets() -> dict[str, Experiment]:
    presets = {}
    for task_name in [name for name in TASKS if name not in MAPS]:
        for format_name, format in FORMATS.items():
            for training, weight in (("vanilla", 0.0), ("tvp", 1.0)):
                name = f"{task_name}{format_name}-{training}"
                presets[f"{name}-small"] = small(task_name, format, weight)
                for size in PAPER_MODELS:
                    presets[f"{name}-{size}"] = paper(task_name, format, weight, size)
    for name, weight in (("vanilla", 0.0), ("tvp", 1.0)):
        presets[f"relations-{name}-small"] = small("relations", ARROW, weight)
    presets["bijections-vanilla-small"] = small("bijections", ARROW, 0.0)
    return presets | linear_presets()


PRESETS = _presets()
"""Every preset by name."""
