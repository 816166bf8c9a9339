import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xarray as xr
from torch import Tensor
from torch.testing import assert_close

from tests.tiny_runs import (
    CPU,
    TINY,
    change_from_batch,
    check_same_run,
    same_weights,
    state_after,
    train_until,
    trained_with,
)
from tvlens.base.errors import DivergenceError, InputError
from tvlens.tasks import LinearRegression, Sinusoid, oracle_predictions, sample_episodes
from tvlens.training.checkpoints import load_checkpoint
from tvlens.training.experiment import Experiment
from tvlens.training.icl_objective import AllLengths, ICLObjective
from tvlens.training.loop import TrainState, training_steps
from tvlens.training.objectives import Losses
from tvlens.training.optimization import Adam, Muon, Schedule
from tvlens.training.runs import train, train_run

OPTIMIZERS = {"adam": Adam(learning_rate=1e-2), "muon": Muon()}

with_each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def poison(monkeypatch: pytest.MonkeyPatch, step: int, factor: float) -> None:
    """From a step on, the task's functions are multiplied by something too large, or no number."""
    change_from_batch(monkeypatch, step, "sample_params", lambda params: factor * params)


# Resuming


@with_each_optimizer
@pytest.mark.parametrize(
    "stops",
    [[7], [8], [9], [1, 11, 19]],
    ids=["between", "at a checkpoint", "at a row", "again and again"],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, optimizer: Adam | Muon, stops: list[int]
):
    experiment = trained_with(optimizer=optimizer)
    for stop in stops:
        train_until(stop, experiment, tmp_path / "resumed", resume=True)
    resumed = train(experiment, tmp_path / "resumed", device="cpu", resume=True)
    check_same_run(resumed, train(experiment, tmp_path / "whole", device="cpu"))


@with_each_optimizer
def test_a_checkpoint_holds_the_whole_state(tmp_path: Path, optimizer: Adam | Muon):
    experiment = trained_with(optimizer=optimizer)
    train_until(7, experiment, tmp_path)
    loaded = load_checkpoint(tmp_path / "checkpoint.safetensors", experiment, CPU)
    state = state_after(experiment, 7)
    assert (loaded.step, loaded.rows, loaded.pending) == (7, state.rows, state.pending)
    assert torch.equal(loaded.generators[0].get_state(), state.generators[0].get_state())
    assert same_weights(loaded.model, state.model)
    for ours, theirs in zip(loaded.optimizers, state.optimizers, strict=True):
        assert_close(ours.state_dict()["state"], theirs.state_dict()["state"], rtol=0, atol=0)
    assert loaded.seconds > 0


def test_without_a_stop_checkpoints_are_written_every_so_often(tmp_path: Path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    last = {
        state.step: load_checkpoint(checkpoint, TINY, CPU).step if checkpoint.exists() else 0
        for state in train_run(TINY, tmp_path, device="cpu")
    }
    assert last == {step: step // 4 * 4 for step in range(1, 21)}
    assert not checkpoint.exists()


def test_time_spent_is_counted_over_all_sessions(tmp_path: Path):
    train_until(7, TINY, tmp_path)
    before = load_checkpoint(tmp_path / "checkpoint.safetensors", TINY, CPU).seconds
    (seconds,) = [
        state.seconds
        for state in train_run(TINY, tmp_path, device="cpu", resume=True)
        if state.step == 20
    ]
    assert seconds > before > 0


# One step


@pytest.mark.parametrize("clip_norm", [0.1, 100.0], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_adamw_on_the_clipped_gradient(clip_norm: float, weight_decay: float):
    peak, beta1, beta2 = 0.01, 0.8, 0.95
    adam = Adam(peak, beta1, beta2, weight_decay)
    experiment = trained_with(optimizer=adam, clip_norm=clip_norm, steps=4, warmup=1)
    state = TrainState.start(experiment, CPU)
    steps = training_steps(experiment, state)
    mean = [torch.zeros_like(p) for p in state.model.parameters()]
    square = [torch.zeros_like(p) for p in state.model.parameters()]
    for step, share in enumerate([0.5, 1.0, 0.75, 0.25], start=1):
        before = [p.detach().clone() for p in state.model.parameters()]
        gradient = next_gradient(experiment, state)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
        assert (norm > clip_norm) is (clip_norm == 0.1)
        next(steps)
        for index, parameter in enumerate(state.model.parameters()):
            g = gradient[index] * min(1.0, clip_norm / norm)
            mean[index] = beta1 * mean[index] + (1 - beta1) * g
            square[index] = beta2 * square[index] + (1 - beta2) * g.square()
            direction = (mean[index] / (1 - beta1**step)) / (
                (square[index] / (1 - beta2**step)).sqrt() + 1e-8
            )
            rate = share * peak
            expected = (1 - rate * weight_decay) * before[index] - rate * direction
            assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)


def next_gradient(experiment: Experiment, state: TrainState) -> list[Tensor]:
    """The gradient of the next step's loss, by a way of its own."""
    generator = torch.Generator().manual_seed(0)
    generator.set_state(state.generators[0].get_state())
    batch = experiment.draw(state.model, [generator])
    total = experiment.losses(state.model, batch, step=state.step).total
    return list(torch.autograd.grad(total, list(state.model.parameters())))


def test_muon_moves_matrices_of_blocks_by_its_rate_in_every_direction():
    experiment = trained_with(optimizer=Muon(learning_rate=0.02), steps=1, warmup=0)
    before = experiment.build_model().state_dict()
    after = state_after(experiment).model.state_dict()
    sizes = {name: torch.linalg.svdvals(after[name] - before[name]) for name in matrices(before)}
    assert len(sizes) == 8
    for name, values in sizes.items():
        rows, columns = before[name].shape
        expected = 0.02 * max(1.0, rows / columns) ** 0.5
        assert 0.5 * expected < values[: len(values) // 2].mean() < 1.5 * expected, name


def matrices(weights: dict[str, Tensor]) -> list[str]:
    return [name for name, w in weights.items() if name.startswith("blocks.") and w.dim() == 2]


@with_each_optimizer
def test_every_parameter_has_one_optimizer(optimizer: Adam | Muon):
    model = TINY.build_model()
    owned = Counter(
        id(parameter)
        for each in optimizer.build(model)
        for group in each.param_groups
        for parameter in group["params"]
    )
    assert owned == Counter(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(learning_rate=0.0),
        lambda: Adam(weight_decay=-0.1),
        lambda: Adam(beta1=1.0),
        lambda: Adam(beta2=-0.1),
        lambda: Muon(learning_rate=-0.1),
        lambda: Muon(learning_rate=0.0),
        lambda: Muon(momentum=-0.1),
        lambda: Muon(adam=Adam(learning_rate=0.0)),
    ],
)
def test_an_optimizer_that_can_not_be_is_refused(make: Callable[[], Adam | Muon]):
    with pytest.raises(InputError, match="optimiser"):
        make().build(TINY.build_model())


# The learning rate


@pytest.mark.parametrize("schedule", Schedule)
def test_the_learning_rate_warms_up_on_a_line(schedule: Schedule):
    assert [schedule.factor(step, 20, 4) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert schedule.factor(4, 20, 4) == 1.0
    assert schedule.factor(0, 20, 0) == 1.0


def test_a_constant_rate_stays():
    assert {Schedule.CONSTANT.factor(step, 100, 10) for step in range(10, 100)} == {1.0}


def test_a_cosine_falls_to_nearly_nothing():
    factors = [Schedule.COSINE.factor(step, 104, 4) for step in range(4, 104)]
    assert factors == sorted(factors, reverse=True)
    assert factors[50] == pytest.approx(0.5)
    assert factors[25] == pytest.approx(0.5 + 0.5**1.5)
    assert factors[-1] == pytest.approx((math.pi / 200) ** 2, rel=1e-3)


def test_a_warm_up_longer_than_the_training_is_a_line_to_its_end():
    assert [Schedule.COSINE.factor(step, 2, 9) for step in range(2)] == [0.1, 0.2]


# Learning


def test_training_learns_to_regress_in_context():
    task = LinearRegression(d=1, noise=0.3)
    experiment = trained_with(
        replace(TINY, task=task, objective=ICLObjective()),
        steps=250,
        batch=32,
        examples=6,
        warmup=20,
        log_every=50,
    )
    state = state_after(experiment)
    icl = [row.icl for row in state.rows]
    assert icl[-1] < 0.6 * icl[0]

    episodes = sample_episodes(task, 2000, 7, generator=torch.Generator().manual_seed(12345))
    prompt = experiment.format.context(episodes)
    answers = prompt.answers.only
    with torch.no_grad():
        outputs = state.model(prompt.inputs, prompt.position_ids)[:, answers]
    oracle = oracle_predictions(task, episodes, episodes)
    zero = torch.zeros_like(outputs)
    error, best, ignorant = (
        task.error(prediction, episodes.target).mean(0) for prediction in (outputs, oracle, zero)
    )
    assert best[6] < error[6] < 0.4 < 0.8 < ignorant[6]
    assert error[6] < error[2] < error[1] < error[0]


@pytest.mark.parametrize("task", [LinearRegression(d=2), Sinusoid()], ids=["linear", "sinusoid"])
def test_the_same_seed_is_the_same_run_and_another_is_not(task: LinearRegression | Sinusoid):
    experiment = replace(TINY, task=task)
    first = state_after(experiment, 6)
    torch.manual_seed(99)
    again = state_after(experiment, 6)
    other = state_after(replace(experiment, seed=1), 6)
    assert same_weights(first.model, again.model)
    assert first.rows == again.rows
    assert not same_weights(first.model, other.model)
    assert first.rows != other.rows


def test_a_seed_decides_weights_and_data():
    other = replace(TINY, seed=1)
    assert not same_weights(TINY.build_model(), other.build_model())
    mine, theirs = (each.generators(CPU)[0].get_state() for each in (TINY, other))
    assert not torch.equal(mine, theirs)


@with_each_optimizer
def test_bf16_trains_other_but_finite_losses_and_keeps_float32_weights(optimizer: Adam | Muon):
    experiment = trained_with(optimizer=optimizer, steps=5)
    half = state_after(trained_with(experiment, bf16=True))
    whole = state_after(experiment)
    ours, theirs = (experiment.history(each.rows).data for each in (half, whole))
    assert not ours.equals(theirs)
    xr.testing.assert_allclose(ours, theirs, rtol=0.1, atol=0.1)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in half.model.parameters())


# The history


@pytest.mark.parametrize("steps", [20, 21, 2], ids=["with a rest", "without", "only a rest"])
def test_rows_are_the_means_of_the_losses(steps: int):
    experiment = trained_with(steps=steps)
    state = TrainState.start(experiment, CPU)
    seen = stacked(training_steps(experiment, state))
    ends = [*range(3, steps, 3), steps]
    assert [row.step for row in state.rows] == ends
    for row, start, end in zip(state.rows, [0, *ends], ends, strict=False):
        means = [float(each) for each in (row.total, row.icl, row.tvp)]
        assert means == pytest.approx(seen[start:end].mean(0).tolist(), rel=1e-12)
        assert row.learning_rate == Schedule.COSINE.factor(end - 1, steps, 5)


def stacked(each: Iterable[Losses]) -> Tensor:
    return torch.stack([torch.stack(step_losses) for step_losses in each]).double()


def test_the_total_is_the_weighted_sum():
    experiment = replace(TINY, objective=ICLObjective(0.25, tvp_layer=1, lengths=AllLengths()))
    total, icl, tvp = stacked(training_steps(experiment, TrainState.start(experiment, CPU))).T
    assert_close(total, icl + 0.25 * tvp)


def test_vanilla_training_has_no_tvp_loss():
    experiment = trained_with(replace(TINY, objective=ICLObjective()), steps=4)
    history = experiment.history(state_after(experiment).rows).data
    assert history.tvp.isnull().all()
    assert history.total.identical(history.icl.rename("total"))


# A notebook


def test_a_notebook_can_stop_look_and_go_on():
    state = state_after(TINY, 7)
    assert (state.step, state.rows[-1].step, len(state.pending)) == (7, 6, 1)
    for step_losses in training_steps(TINY, state):
        assert not step_losses.total.requires_grad
    whole = state_after(TINY)
    assert state.step == whole.step == 20
    assert state.rows == whole.rows
    assert same_weights(state.model, whole.model)
    assert list(training_steps(TINY, state)) == []


# Divergence


@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 5, 6])
def test_divergence_names_its_step(monkeypatch: pytest.MonkeyPatch, factor: float, step: int):
    poison(monkeypatch, step, factor)
    with pytest.raises(DivergenceError, match=rf"the loss at step {step} is .*learning rate"):
        state_after(TINY)


@pytest.mark.parametrize(("step", "stretch"), [(1, "1 to 3"), (5, "4 to 6"), (6, "7 to 9")])
def test_losses_that_stay_high_have_diverged(
    monkeypatch: pytest.MonkeyPatch, step: int, stretch: str
):
    poison(monkeypatch, step, 1e4)
    with pytest.raises(DivergenceError, match=f"half of the losses of steps {stretch} .*rate"):
        state_after(TINY)


def test_one_batch_of_high_loss_is_no_divergence(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as poisoned:
        poison(poisoned, 5, 1e4)
        state = state_after(trained_with(steps=5, log_every=10))
    assert state.pending == []
    assert state.rows[-1].icl > 100


@pytest.mark.parametrize(("step", "good"), [(4, None), (5, 4), (7, 4), (8, 4), (20, 16)])
def test_divergence_leaves_and_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, good: int | None
):
    checkpoint = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as poisoned:
        poison(poisoned, step, math.nan)
        with pytest.raises(DivergenceError, match=f"step {step} is nan") as caught:
            train(TINY, tmp_path, device="cpu")
    if good is None:
        assert "No checkpoint." in str(caught.value)
        assert not checkpoint.exists()
    else:
        assert f"Last good checkpoint: {checkpoint}." in str(caught.value)
        assert load_checkpoint(checkpoint, TINY, CPU).step == good
    resumed = train(TINY, tmp_path, device="cpu", resume=True)
    assert same_weights(resumed.model, state_after(TINY).model)


def test_stopping_a_run_that_just_diverged_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    poison(monkeypatch, 7, math.nan)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(DivergenceError, match="Last good checkpoint"):
        train_until(7, trained_with(log_every=5), tmp_path)
    assert load_checkpoint(checkpoint, trained_with(log_every=5), CPU).step == 4


@pytest.mark.parametrize("step", [8, 20], ids=["at a checkpoint", "at the last step"])
def test_weights_that_are_no_numbers_are_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    """A finite loss may have a gradient that is not: the root of zero has an infinite slope."""
    experiment = replace(TINY, objective=ICLObjective())
    change_from_batch(monkeypatch, step, "loss", lambda loss: loss + (0 * loss).sqrt())
    with pytest.raises(DivergenceError, match="Last good checkpoint"):
        train(experiment, tmp_path, device="cpu")
    good = load_checkpoint(tmp_path / "checkpoint.safetensors", experiment, CPU).step
    assert good == (step - 1) // 4 * 4


@with_each_optimizer
def test_a_learning_rate_far_too_high_diverges(optimizer: Adam | Muon):
    with pytest.raises(DivergenceError, match="Lower the learning rate"):
        state_after(trained_with(optimizer=replace(optimizer, learning_rate=1e4), warmup=0))


def test_compiling_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="no C\\+\\+ compiler \\(no-such-compiler\\)"):
        train_run(TINY, tmp_path / "run", device="cpu", compile=True)
    assert not (tmp_path / "run" / "experiment.json").exists()


COMPILED = """
import functools, torch
from dataclasses import replace
from tvlens.training.presets import PRESETS
from tvlens.training.loop import TrainState, training_steps

# Traced and run by PyTorch itself: what is compiled, without the minutes of a C++ compiler.
torch.compile = functools.partial(torch.compile, backend="eager")
preset = PRESETS["linear-tvp-small"]
experiment = replace(
    preset,
    model=replace(preset.model, n_layers=2, d_model=16, n_heads=2),
    objective=replace(preset.objective, tvp_layer=1),
    train=replace(preset.train, steps=3, batch=4, examples=4),
)
plain, compiled = (TrainState.start(experiment, torch.device("cpu")) for _ in range(2))
first = [loss.total for loss in training_steps(experiment, plain)]
second = [loss.total for loss in training_steps(experiment, compiled, compile=True)]
torch.testing.assert_close(first, second)
assert len(torch._dynamo.utils.counters["stats"]) > 0
"""


def test_a_compiled_step_has_the_losses_of_the_step() -> None:
    # A process of its own, where no types are checked: the checks can not be traced.
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
