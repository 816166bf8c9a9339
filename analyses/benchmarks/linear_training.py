"""Steps of linear transformers: `python analyses/benchmarks/linear_training.py`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from timing import Where, in_turn, parse, plain_errors, ratio_figure, save, seconds_of, to_rows
from torch.func import vmap

import tvlens as tvl
from tvlens.prompts import TRIPLET
from tvlens.tasks import sample_episodes
from tvlens.training.linear_presets import linear_experiment
from tvlens.training.loop import TrainState, training_step
from tvlens.training.seeds import Seeds

sys.path.append(str(Path(__file__).parents[2]))

from tests.transcribed import transcribed

DESCRIPTION = """Time of a training step of linear transformers: beside one that builds the paper's
matrices example by example, for all prompts of a batch at once; and for each seed, where many train
in one batch, beside one that trains alone.

Ratios are taken within rounds in which all run in turn. Sampling is included."""
ALONE, TRANSCRIBED = "1 seed", "matrices, example by example"


@dataclass(frozen=True)
class Config:
    """Which steps are timed."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    examples: tuple[int, ...] = (5, 5, 10)
    """Examples of a prompt."""
    batch: tuple[int, ...] = (100, 500, 1000)
    """Prompts of a step, for each of them."""
    seeds: tuple[int, ...] = (10, 40)
    """How many seeds train together."""
    rounds: int = 7
    """How often each step is timed."""
    steps: int = 5
    """Steps of one timing."""

    def experiments(self) -> list[tvl.Experiment]:
        """Two layers on triplets."""
        numbers = (*self.examples, *self.batch, *self.seeds, self.rounds, self.steps)
        if len(self.examples) != len(self.batch) or min(numbers) < 1:
            raise tvl.InputError("Give as many batches (--batch) as --examples, and no 0.")
        plain = [linear_experiment(TRIPLET, 2, n) for n in self.examples]
        return [
            replace(each, train=replace(each.train, batch=batch))
            for each, batch in zip(plain, self.batch, strict=True)
        ]


def main(config: Config) -> None:
    """Time, print, write."""
    experiments, device = config.experiments(), config.where.start()
    results, tables = [], {}
    for experiment in experiments:
        size = {"examples": experiment.train.examples, "batch": experiment.train.batch}
        label = ", ".join(f"{value} {name}" for name, value in size.items())
        contestants = {ALONE: one_seed(experiment, device, config.steps)}
        for count in config.seeds:
            contestants[f"{count} seeds, for each"] = many(experiment, count, device, config.steps)
        contestants[TRANSCRIBED] = by_definition(experiment, device, config.steps)
        timing = in_turn(contestants, reference=ALONE, rounds=config.rounds, warmup=1, label=label)
        tables[label] = timing.table()
        print(f"\n{label}\n{tables[label].round(4).to_string()}")
        results.append({"size": size, "contestants": to_rows(tables[label])})
    content = {"reference": ALONE, "rounds": config.rounds, "results": results}
    save(config.where, "linear_training", content, [ratio_figure(tables, ALONE)])


def one_seed(experiment: tvl.Experiment, device: torch.device, steps: int) -> Callable[[], float]:
    """Seconds of a step."""
    state = TrainState.start(experiment, device)
    return lambda: seconds_of(partial(walk, experiment, state, steps), device) / steps


def many(
    experiment: tvl.Experiment, count: int, device: torch.device, steps: int
) -> Callable[[], float]:
    """Seconds of a step for each seed."""
    seeds = Seeds(experiment, tuple(range(count)))
    state = TrainState.start(seeds, device)
    return lambda: seconds_of(partial(walk, seeds, state, steps), device) / steps / count


def walk(experiment: tvl.Experiment | Seeds, state: TrainState, steps: int) -> None:
    """Some training steps."""
    for _ in range(steps):
        training_step(experiment, state)


def by_definition(
    experiment: tvl.Experiment, device: torch.device, steps: int
) -> Callable[[], float]:
    """Seconds of a step on the paper's matrices."""
    state = TrainState.start(experiment, device)

    def step() -> None:
        train = experiment.train
        episodes = sample_episodes(
            experiment.task, train.batch, train.shots, generator=state.generators[0]
        )
        loss_by_definition(experiment, state.model, episodes).backward()
        experiment.clip_gradients(state.model)
        for optimizer in state.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def work() -> None:
        for _ in range(steps):
            step()

    return lambda: seconds_of(work, device) / steps


def loss_by_definition(
    experiment: tvl.Experiment, model: tvl.LinearTransformer, episodes: tvl.Episodes
) -> torch.Tensor:
    """The loss of a batch from the paper's matrices."""

    def answer(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -transcribed(model, x, y, None)[-1, model.d :, -1]

    outputs, task = vmap(answer)(episodes.x, episodes.y), experiment.task
    return task.loss(outputs, episodes.target[:, -1]).mean() / task.scale


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
