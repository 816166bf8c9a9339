"""Named experiments: `*-small` for minutes on a CPU, `*-paper` with the paper's recipe for a GPU.

A name is task[-format]-training-size: `linear-tvp-small`, `offset-vanilla-paper`,
`linear-arrow-tvp-small`; the format is z x y where none is named.
"""

import dataclasses

from tvlens.experiment import Experiment, TrainConfig
from tvlens.models import ModelConfig, Positions
from tvlens.objectives import AllLengths, Objective, Query
from tvlens.optimization import Adam, Muon, Schedule
from tvlens.prompts import ARROW, ZXY, PromptFormat
from tvlens.tasks import LinearRegression, Sinusoid, Task, TokenOffset

TASKS: dict[str, Task] = {
    "linear": LinearRegression(),
    "sinusoid": Sinusoid(),
    "offset": TokenOffset(),
}
FORMATS: dict[str, PromptFormat] = {"": ZXY, "-arrow": ARROW}

SMALL = TrainConfig(
    steps=8_000, batch=64, optimizer=Muon(), schedule=Schedule.COSINE, checkpoint_every=500
)
PAPER = TrainConfig(
    steps=300_000,
    batch=256,
    optimizer=Adam(learning_rate=1e-4, beta2=0.999),
    schedule=Schedule.CONSTANT,
    warmup=0,
    checkpoint_every=5000,
)
PAPER_DEPTHS = {"paper": 3, "paper-6-layers": 6, "paper-12-layers": 12}


def _small(task: Task, format: PromptFormat, objective: Objective) -> Experiment:
    model = ModelConfig(n_layers=3, d_model=64, positions=Positions.ROTARY, init_std=0.1)
    return Experiment(task, format, model, objective, SMALL)


def _paper(task: Task, format: PromptFormat, objective: Objective, n_layers: int) -> Experiment:
    model = ModelConfig(n_layers=n_layers, d_model=64 if n_layers == 3 else 128)
    if objective.tvp_weight:
        objective = dataclasses.replace(objective, tvp_layer=n_layers - 1, lengths=AllLengths())
    return Experiment(task, format, model, objective, PAPER)


def _presets() -> dict[str, Experiment]:
    presets = {}
    for format_name, format in FORMATS.items():
        query = Query.FRESH if format.carrier_sees_query else Query.NEXT
        trainings = {
            "vanilla": Objective(),
            "tvp": Objective(tvp_weight=1.0, tvp_layer=2, query=query),
        }
        for task_name, task in TASKS.items():
            for training, objective in trainings.items():
                name = f"{task_name}{format_name}-{training}"
                presets[f"{name}-small"] = _small(task, format, objective)
                for size, depth in PAPER_DEPTHS.items():
                    presets[f"{name}-{size}"] = _paper(task, format, objective, depth)
    return presets


PRESETS = _presets()
"""Every preset by name."""
