"""The training loop: a state, a step, and a generator of steps."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator
from torch.optim import Optimizer

from tvlens.base.errors import DivergenceError
from tvlens.results.history import Row
from tvlens.training.experiment import Experiment
from tvlens.training.objectives import Losses
from tvlens.training.optimization import set_learning_rate
from tvlens.training.seeds import Seeds

DIVERGED = 10.0
"""Where half of the losses are this many times that of knowing nothing, training has diverged. One
loss tells nothing: that of a deep linear transformer is a polynomial in its inputs of a degree so
high that a rare batch costs many times more than all others."""
REMEDY = "Lower the learning rate or the gradient norm, or lengthen the warm-up."


@dataclass
class TrainState:
    """All that changes during training, and so all that a checkpoint holds."""

    model: Any
    """The model; of several seeds their weights as one, see `Seeds`."""
    optimizers: list[Optimizer]
    generators: list[Generator]
    """The sources of the training data, one for each seed."""
    step: int = 0
    """Steps done."""
    rows: list[Row] = field(default_factory=list)
    """The history so far."""
    pending: list[Losses] = field(default_factory=list)
    """Losses since the last row, still on the device."""
    seconds: float = 0.0
    """Wall time spent so far."""

    @staticmethod
    def start(experiment: Experiment | Seeds, device: torch.device) -> "TrainState":
        """The state before the first step."""
        model = experiment.build_model(device=device)
        optimizers = experiment.train.optimizer.build(model)
        return TrainState(model, optimizers, experiment.generators(device))


def training_steps(
    experiment: Experiment | Seeds, state: TrainState, *, compile: bool = False
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
    experiment: Experiment | Seeds,
    state: TrainState,
    compute: Callable[..., Losses] | None = None,
) -> Losses:
    """Sample a batch, and move the weights by its gradient.

    Args:
        compute: a compiled form of the experiment's losses; they themselves if None.
    """
    compute = compute or experiment.losses
    batch = experiment.draw(state.model, state.generators)
    device = state.generators[0].device.type
    with torch.autocast(device, torch.bfloat16, enabled=experiment.train.bf16):
        losses = compute(state.model, batch, step=state.step)
    # No seed has weights that another's loss depends on.
    losses.total.sum().backward()
    experiment.clip_gradients(state.model)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return Losses(*(loss.detach() for loss in losses))


def check_state(state: TrainState) -> None:
    """Wait for the losses since the last row and the weights, and look at them.

    Raises:
        DivergenceError: a loss is not finite, half of them are far above that of knowing nothing,
            or a weight is not finite.
    """
    if state.pending:
        _check_losses(_pending(state), state.step)
    if not all(bool(parameter.isfinite().all()) for parameter in state.model.parameters()):
        raise DivergenceError(
            f"Training diverged: after step {state.step} weights are not finite. {REMEDY}"
        )


def _check_losses(losses: Losses, last: int) -> None:
    """Raise DivergenceError if the losses of a stretch, over "step *seed", tell of one."""
    first = last - len(losses.total) + 1
    for step, each in enumerate(losses.total, start=first):
        if not each.isfinite().all():
            loss = each[~each.isfinite()][0].item()
            raise DivergenceError(f"Training diverged: the loss at step {step} is {loss}. {REMEDY}")
    # Without a TVP loss it is nan, which fmax ignores.
    median = torch.fmax(losses.icl, losses.tvp).median(0).values.max().item()
    if median > DIVERGED:
        raise DivergenceError(
            f"Training diverged: half of the losses of steps {first} to {last} are at least "
            f"{median:.4g} times that of knowing nothing. {REMEDY}"
        )


def _add_row(state: TrainState, factor: float) -> None:
    """Turn the pending losses into a row of the history."""
    check_state(state)
    total, icl, tvp = (each.mean(0).numpy() for each in _pending(state))
    state.rows.append(Row(state.step, total, icl, tvp, factor))
    state.pending.clear()


def _pending(state: TrainState) -> Losses:
    """The losses since the last row, over "step *seed"; the host waits for them."""
    columns = zip(*state.pending, strict=True)
    return Losses(*(torch.stack(each).double().cpu() for each in columns))
