"""Training steps and locality maps of any size, for benchmarks to run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from tvlens import Experiment, ICLObjective, TrainConfig, TransformerConfig
from tvlens.tasks import fresh_queries, sample_episodes
from tvlens.training import TrainState
from tvlens.training.loop import training_step

Result = TypeVar("Result")


@dataclass(frozen=True)
class Size:
    """What the cost of a step or a map depends on."""

    n_layers: int = 3
    """Blocks of the model."""
    d_model: int = 64
    """Width of the residual stream."""
    examples: int = 15
    """Examples of the longest context."""
    batch: int = 64
    """Episodes of a training step or a map."""

    @property
    def tokens(self) -> int:
        """Tokens of the longest context."""
        return self.experiment().format.n_tokens(self.examples + 1)

    def experiment(self, *, tvp_weight: float = 0.0, seed: int = 0) -> Experiment:
        """Linear regression with a model of this size."""
        default = Experiment()
        shots = self.examples + 1
        model = TransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_ctx=default.format.n_tokens(shots),
            # Weights of gain 1: with those of GPT-2 the residual stream hardly changes in small
            # models, and maps that differ would look equal.
            init_std=1 / math.sqrt(self.d_model),
        )
        objective = ICLObjective(tvp_weight=tvp_weight, tvp_layer=(self.n_layers + 1) // 2)
        train = TrainConfig(batch=self.batch, examples=self.examples)
        return Experiment(model=model, objective=objective, train=train, seed=seed)

    def step(self, device: torch.device, *, tvp_weight: float = 0.0) -> Callable[[], object]:
        """A function that does one training step, the next one with each call."""
        experiment = self.experiment(tvp_weight=tvp_weight)
        state = TrainState.start(experiment, device)
        return lambda: training_step(experiment, state)

    def map(self, how: Callable[..., Result], device: torch.device) -> Callable[[], Result]:
        """A function that maps one and the same model with `how`, which is called as
        `tvlens.analysis.locality_map` is.
        """
        experiment = self.experiment()
        task, (generator,) = experiment.task, experiment.generators(device)
        episodes = sample_episodes(task, self.batch, self.examples + 1, generator=generator)
        queries = fresh_queries(task, episodes, generator=generator)
        model = experiment.build_model(device=device)
        untrained = self.experiment(seed=1).build_model(device=device)
        return lambda: how(
            model,
            task,
            experiment.format,
            episodes,
            queries,
            untrained=untrained,
            generator=torch.Generator(device).manual_seed(0),
        )
