"""What the TVP loss adds to a training step of tvlens, and what sampling takes of it.

python analyses/benchmarks/tvp_loss.py --rounds 20
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch
from contest import Contest
from peers import Size
from timing import in_turn, parse, plain_errors, ratio_figure, save, seconds_of, to_rows

from tvlens import ZXY, Experiment, LinearRegression, TrainConfig, TransformerConfig
from tvlens.interventions.patching import Site
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.prompts import carrier_of
from tvlens.tasks import sample_episodes
from tvlens.training.icl_objective import AllLengths, ICLObjective, LastLength, RandomLengths
from tvlens.training.loop import TrainState, training_step

REFERENCE = "ICL loss only"
LAYER = 2
LENGTHS = {
    "TVP loss, 1 random length": RandomLengths(k=1),
    "TVP loss, 4 random lengths": RandomLengths(k=4),
    "TVP loss, last length": LastLength(),
    "TVP loss, all lengths": AllLengths(),
}
DESCRIPTION = """Time one training step of tvlens, sampling included, with and without a TVP loss.

Linear regression in format zxy; the vector is read and written after the second of three blocks.
The TVP loss by hooks is its definition: a second pass over the context to read the vectors."""


@dataclass(frozen=True)
class TVPLoss(Contest):
    """Where, how long and on what."""


def main(config: TVPLoss) -> None:
    """Time all sizes, print tables, write files."""
    device = config.where.start()
    tables: dict[str, pd.DataFrame] = {}
    results: list[dict[str, Any]] = []
    for size in config.each():
        setting = f"width {size.d_model}, {size.tokens} tokens"
        runs = {
            name: lambda work=work: seconds_of(work, device)
            for name, work in contestants(size, device).items()
        }
        timing = in_turn(runs, reference=REFERENCE, rounds=config.rounds, label=setting)
        tables[setting] = timing.table()
        print(f"\n{setting}, batch {size.batch}\n{tables[setting].round(4).to_string()}")
        results.append({"size": asdict(size), "contestants": to_rows(tables[setting])})
    content = {"rounds": config.rounds, "results": results}
    save(config.where, "tvp_loss", content, [ratio_figure(tables, REFERENCE)])


def contestants(size: Size, device: torch.device) -> dict[str, Callable[[], object]]:
    """Training steps of one model with different objectives, each with weights of its own."""

    def start(objective: ICLObjective) -> tuple[Experiment, TrainState]:
        chosen = experiment(size, objective)
        return chosen, TrainState.start(chosen, device)

    vanilla, state = start(ICLObjective())
    works: dict[str, Callable[[], object]] = {REFERENCE: _step(vanilla, state)}
    bf16 = replace(vanilla, train=replace(vanilla.train, bf16=True))
    works["ICL loss only, bfloat16"] = _step(bf16, TrainState.start(bf16, device))
    for name, lengths in LENGTHS.items():
        objective = ICLObjective(tvp_weight=1.0, tvp_layer=LAYER, lengths=lengths)
        works[name] = _step(*start(objective))
    hooked = start(ICLObjective(tvp_weight=1.0, tvp_layer=LAYER, lengths=AllLengths()))
    works["TVP loss, all lengths, by hooks"] = lambda: step_by_hooks(*hooked)
    works["sampling alone"] = lambda: sample_episodes(
        vanilla.task, size.batch, vanilla.train.shots, generator=state.generators[0]
    )
    return works


def experiment(size: Size, objective: ICLObjective) -> Experiment:
    """The experiment whose prompts and model have the given size."""
    return Experiment(
        task=LinearRegression(),
        format=ZXY,
        model=TransformerConfig(size.n_layers, size.d_model, size.n_heads, n_ctx=size.tokens),
        objective=objective,
        train=TrainConfig(batch=size.batch, examples=(size.tokens - 2) // len(ZXY.shot)),
    )


def step_by_hooks(experiment: Experiment, state: TrainState) -> torch.Tensor:
    """A training step whose TVP loss, at all lengths, is written as it is defined."""
    task, format, train = experiment.task, experiment.format, experiment.train
    episodes = sample_episodes(task, train.batch, train.shots, generator=state.generators[0])
    prompt = format.context(episodes)
    answers = prompt.answers.only
    outputs = state.model(prompt.inputs, prompt.position_ids)[:, answers]
    objective: Any = experiment.objective
    site = Site(objective.tvp_layer, carrier_of(format))
    # The loss begins at length 1: a vector of no context holds no task.
    prompted = task_vector_predictions(state.model, format, episodes, episodes, site)[:, 1:]
    icl = task.loss(outputs, episodes.target).mean()
    tvp = task.loss(prompted, episodes.target[:, 1:]).mean()
    total = (icl + objective.tvp_weight * tvp) / task.scale
    total.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), train.clip_norm)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return total.detach()


def _step(experiment: Experiment, state: TrainState) -> Callable[[], object]:
    return lambda: training_step(experiment, state)


if __name__ == "__main__":
    with plain_errors():
        main(parse(TVPLoss(), DESCRIPTION))
