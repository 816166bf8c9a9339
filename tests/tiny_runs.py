"""Trainings of some steps, and what tells whether two of them are the same."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tvlens.models import LinearConfig, Positions, TokenDropout, TransformerConfig
from tvlens.prompts import TRIPLET
from tvlens.tasks import LinearRegression, MatrixRegression
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.icl_objective import ICLObjective
from tvlens.training.linear_presets import LINEAR_TRAINING
from tvlens.training.loop import TrainState, training_steps
from tvlens.training.optimization import Muon
from tvlens.training.query_objective import QueryObjective, Sparsity
from tvlens.training.run import Run
from tvlens.training.runs import train_run
from tvlens.training.seeds import Seeds

CPU = torch.device("cpu")
TINY = Experiment(
    LinearRegression(d=2),
    model=TransformerConfig(
        n_layers=2, d_model=16, n_heads=2, positions=Positions.ROTARY, init_std=0.2
    ),
    objective=ICLObjective(tvp_weight=1.0, tvp_layer=1),
    train=TrainConfig(
        steps=20, batch=8, examples=4, warmup=5, log_every=3, checkpoint_every=4, optimizer=Muon()
    ),
)
TINY_LINEAR = Experiment(
    MatrixRegression(2),
    TRIPLET,
    LinearConfig(dropout=TokenDropout(0.7)),
    QueryObjective(Sparsity(1e-3, after=8)),
    replace(LINEAR_TRAINING, steps=20, batch=8, examples=3, log_every=3, checkpoint_every=4),
)


def trained_with(experiment: Experiment = TINY, **changes: Any) -> Experiment:
    """An experiment whose training differs in some fields."""
    return replace(experiment, train=replace(experiment.train, **changes))


def state_after(experiment: Experiment | Seeds, steps: int | None = None) -> TrainState:
    state = TrainState.start(experiment, CPU)
    for _ in itertools.islice(training_steps(experiment, state), steps):
        pass
    return state


def train_until(
    step: int, experiment: Experiment | Seeds, folder: Path, resume: bool = False
) -> None:
    """Train into a folder and stop after a step, as Ctrl-C does."""
    states = train_run(experiment, folder, device="cpu", resume=resume)
    for state in states:
        if state.step == step:
            states.close()


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def check_same_run(first: Run, second: Run) -> None:
    """Not one bit differs."""
    assert same_weights(first.model, second.model)
    assert first.history.data.identical(second.history.data)


def change_from_batch(
    monkeypatch: pytest.MonkeyPatch, at: int, method: str, change: Callable[[Tensor], Tensor]
) -> None:
    """Let what a method of the task returns be changed from its `at`-th call on."""
    calls, unchanged = itertools.count(1), getattr(LinearRegression, method)

    def changed(*args: Any, **kwargs: Any) -> Tensor:
        values = unchanged(*args, **kwargs)
        return change(values) if next(calls) >= at else values

    monkeypatch.setattr(LinearRegression, method, changed)
