"""The training loop: a state, a step, and a generator of steps."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from tvlens.base.errors import DivergenceError
from tvlens.prompts import Episodes
from tvlens.tasks import Task, sample_episodes
from tvlens.training.experiment import TrainConfig
from tvlens.training.losses import Losses
from tvlens.training.optimization import set_learning_rate

DIVERGED = 10.0
"""Where half of the losses are this many times that of knowing nothing, training has diverged. One
loss tells nothing: that of a deep linear transformer is a polynomial in its inputs of a degree so
high that a rare batch costs many times more than all others."""
REMEDY = "Lower the learning rate or the gradient norm, or lengthen the warm-up."


Model = TypeVar("Model", bound=nn.Module)


@runtime_checkable
class Trainable(Protocol[Model]):
    """What determines a training: an `Experiment`, or a `LinearExperiment`."""

    @property
    def task(self) -> Task:
        """What is learned in context."""
        ...

    @property
    def train(self) -> TrainConfig:
        """Length and manner of training."""
        ...

    @property
    def seed(self) -> int:
        """Seed of initial weights and training data."""
        ...

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> Model:
        """The untrained model."""
        ...

    def data_generator(self, device: torch.device) -> Generator:
        """The source of the training data."""
        ...

    def losses(
        self, model: Model, episodes: Episodes, *, generator: Generator, step: int
    ) -> Losses:
        """The losses of a batch, after a number of steps."""
        ...

    def clip_gradients(self, model: Model) -> None:
        """Bound the length of the gradient that a step is taken by."""
        ...

    def to_json(self) -> dict[str, Any]:
        """As nested JSON objects."""
        ...


@dataclass
class TrainState(Generic[Model]):
    """All that changes during training, and so all that a checkpoint holds."""

    model: Model
    optimizers: list[Optimizer]
    generator: Generator
    step: int = 0
    """Steps done."""
    rows: list[list[float]] = field(default_factory=list)
    """The history: step, total, icl, tvp, learning rate as a share of its peak. Several models that
    train at once have a row each, one after the other."""
    pending: list[Losses] = field(default_factory=list)
    """Losses since the last row, still on the device."""
    seconds: float = 0.0
    """Wall time spent so far."""

    @staticmethod
    def start(experiment: Trainable[Model], device: torch.device) -> "TrainState[Model]":
        """The state before the first step."""
        model = experiment.build_model(device=device)
        optimizers = experiment.train.optimizer.build(model)
        return TrainState(model, optimizers, experiment.data_generator(device))


def training_steps(
    experiment: Trainable[Model], state: TrainState[Model], *, compile: bool = False
) -> Iterator[Losses]:
    """Train, one step per iteration, until the experiment's last step.

    Args:
        compile: compile the losses with `torch.compile` first, which takes a minute or more and
            needs a C++ compiler on a CPU.

    Yields:
        The step's losses, on the device; looking at a value makes the host wait for it.

    Raises:
        DivergenceError: a loss was not finite, or half of a stretch of `log_every` steps had
            losses far above that of knowing nothing. It is noticed at the end of the stretch.
    """
    config = experiment.train
    compute = torch.compile(experiment.losses) if compile else experiment.losses
    before, started = state.seconds, time.monotonic()
    while state.step < config.steps:
        factor = config.schedule.factor(state.step, config.steps, config.warmup)
        set_learning_rate(state.optimizers, factor)
        step_losses = training_step(experiment, state, compute)
        state.step += 1
        state.pending.append(step_losses)
        if state.step % config.log_every == 0 or state.step == config.steps:
            _add_row(state, factor)
        state.seconds = before + time.monotonic() - started
        yield step_losses


def training_step(
    experiment: Trainable[Model],
    state: TrainState[Model],
    compute: Callable[..., Losses] | None = None,
) -> Losses:
    """Sample a batch, and move the weights by its gradient.

    Args:
        compute: a compiled form of the experiment's losses; they themselves if None.
    """
    config, compute = experiment.train, compute or experiment.losses
    episodes = sample_episodes(
        experiment.task, config.batch, config.shots, generator=state.generator
    )
    with torch.autocast(episodes.x.device.type, torch.bfloat16, enabled=config.bf16):
        batch_losses = compute(state.model, episodes, generator=state.generator, step=state.step)
    # Of several models at once, none has weights that another's loss depends on.
    batch_losses.total.backward(torch.ones_like(batch_losses.total))
    experiment.clip_gradients(state.model)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return Losses(*(loss.detach() for loss in batch_losses))


def check_state(state: TrainState) -> None:
    """Wait for the losses since the last row and the weights, and look at them.

    Raises:
        DivergenceError: a loss is not finite, half of them are far above that of knowing nothing,
            or a weight is not finite.
    """
    total, icl, tvp = _pending(state).unbind(-1)
    first = state.step - len(total) + 1
    for step, each in enumerate(total, start=first):
        if not each.isfinite().all():
            loss = each[~each.isfinite()][0].item()
            raise DivergenceError(f"Training diverged: the loss at step {step} is {loss}. {REMEDY}")
    if state.pending:
        # Without a TVP loss its column is nan, which fmax ignores.
        median = torch.fmax(icl, tvp).median(0).values.max().item()
        if median > DIVERGED:
            raise DivergenceError(
                f"Training diverged: half of the losses of steps {first} to {state.step} are at "
                f"least {median:.4g} times that of knowing nothing. {REMEDY}"
            )
    if not all(bool(parameter.isfinite().all()) for parameter in state.model.parameters()):
        raise DivergenceError(
            f"Training diverged: after step {state.step} weights are not finite. {REMEDY}"
        )


def _add_row(state: TrainState, factor: float) -> None:
    """Turn the pending losses into a row of the history."""
    check_state(state)
    for means in _pending(state).mean(0).tolist():
        state.rows.append([float(state.step), *means, factor])
    state.pending.clear()


def _pending(state: TrainState) -> Float[Tensor, "step model 3"]:
    if not state.pending:
        return torch.zeros(0, 1, 3)
    losses = torch.stack([torch.stack(each, -1) for each in state.pending])
    return losses.view(len(losses), -1, 3).double().cpu()
