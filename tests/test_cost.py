"""What a training step and a map cost, counted and not timed, so that a loss of speed is noticed.

Operators that run and FLOPs of matrix products do not depend on the machine.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import linear_training
import pytest
import torch
from hook_loop import hook_loop
from scaling import count_flops
from sizes import Size
from torch.utils._python_dispatch import TorchDispatchMode

import tvlens as tvl
from tvlens.analysis.locality_map import measure_locality_map
from tvlens.prompts import ZXY
from tvlens.training.experiment import Batch, Experiment
from tvlens.training.loop import TrainState, training_step
from tvlens.training.seeds import Seeds

CPU = torch.device("cpu")
STEP = Size(batch=8)


class Operators(TorchDispatchMode):
    """Counts the operators that run."""

    count = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operators(run: Callable[[], object]) -> int:
    with Operators() as counted:
        run()
    return counted.count


def forward_flops(size: Size, prompted: int = 0) -> int:
    """What one pass over a batch must compute: all of the lower blocks, of the last one the answers
    and everybody's keys and values.

    `prompted` zero-shot prompts of two tokens, whose vector is written before the last block, stand
    behind the context. Below their layer only x is another in each, and z runs once.
    """
    experiment = size.experiment()
    format, shots, width = ZXY, size.examples + 1, size.d_model
    d_in = format.d_in(experiment.task.d_x, experiment.task.d_y)
    below, answers = size.n_layers - 1, shots + prompted
    low = size.tokens + prompted + (prompted > 0)
    high = size.tokens + 2 * prompted
    whole, keys = 24 * width**2, 4 * width**2
    tokens = low * (2 * d_in * width + below * whole) + high * keys
    tokens += answers * (whole - keys + 2 * width)
    attention = 4 * width * (below * low**2 + answers * high)
    return size.batch * (tokens + attention)


@pytest.mark.parametrize("k", [0, 4], ids=["ICL loss", "ICL and TVP loss"])
def test_a_training_pass_computes_what_it_must_and_nothing_else(k: int) -> None:
    experiment = STEP.experiment(tvp_weight=float(k > 0))
    model, generator = experiment.build_model(device=CPU), torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(experiment.task, 8, STEP.examples + 1, generator=generator)

    def forward() -> None:
        task, format = experiment.task, experiment.format
        draws = experiment.objective.draw(model, task, format, episodes, generator=generator)
        experiment.losses(model, Batch(episodes, draws), step=0)

    flops = forward_flops(STEP, prompted=k)
    assert flops <= count_flops(forward) <= 1.005 * flops


def test_the_backward_pass_costs_twice_the_forward_pass() -> None:
    for k in (0, 4):
        step = STEP.step(CPU, tvp_weight=float(k > 0))
        assert count_flops(step) <= 3.06 * forward_flops(STEP, prompted=k)


def test_the_tvp_loss_adds_little() -> None:
    vanilla, tvp = (count_flops(STEP.step(CPU, tvp_weight=weight)) for weight in (0.0, 1.0))
    assert tvp / vanilla <= 1.15


@pytest.mark.parametrize(("weight", "most"), [(0.0, 810), (1.0, 950)])
def test_a_step_runs_no_more_operators_than_it_did(weight: float, most: int) -> None:
    step = STEP.step(CPU, tvp_weight=weight)
    step()  # The optimiser's state is made in the first step.
    assert operators(step) <= most


def test_a_map_computes_a_fraction_of_what_a_loop_over_its_cells_does() -> None:
    size = Size(d_model=16, batch=4)
    flops = count_flops(size.map(measure_locality_map, CPU))
    assert count_flops(size.map(hook_loop, CPU)) >= 3.4 * flops
    assert count_flops(size.map(partial(hook_loop, cached=False), CPU)) >= 16 * flops


def test_a_map_runs_no_more_operators_than_it_did() -> None:
    assert operators(Size(batch=4).map(measure_locality_map, CPU)) <= 3300


def linear_step(examples: int, seeds: int = 1) -> Callable[[], object]:
    """A step of two layers on triplets, of one seed or of several in one batch."""
    (alone,) = linear_training.Config(examples=(examples,), batch=(4,)).experiments()
    return second_step(Seeds(alone, tuple(range(seeds))) if seeds > 1 else alone)


def second_step(experiment: Experiment | Seeds) -> Callable[[], object]:
    """The optimiser's state is made in the first."""
    state = TrainState.start(experiment, CPU)
    training_step(experiment, state)
    return partial(training_step, experiment, state)


def test_linear_attention_never_forms_scores_of_content() -> None:
    """Of p tokens, positions cost 4 p^2 d of the first layer, and as much again for the gradient of
    D; all else grows with p. Scores of content would cost 6 p^2 d more, and 12 for gradients.
    """
    d, few, many = 4, 10, 20
    p, q = 3 * (few + 1), 3 * (many + 1)
    positions = 8 * d * (q**2 - p**2)
    grown = (count_flops(linear_step(many)) - count_flops(linear_step(few))) / 4
    assert grown <= 1.2 * positions


def test_a_step_of_several_seeds_runs_hardly_more_operators_than_one() -> None:
    one, ten = operators(linear_step(3)), operators(linear_step(3, seeds=10))
    assert one <= 345
    # Each seed draws data of its own; all else is done once.
    (alone,) = linear_training.Config(examples=(3,), batch=(4,)).experiments()
    drawn = operators(lambda: alone.draw(alone.build_model(), alone.generators(CPU)))
    built = operators(lambda: (alone.build_model(), alone.generators(CPU)))
    assert ten <= 1.5 * one + 10 * (drawn - built)
