"""What holds for every task. `check_task` is all that a new task has to pass."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from tvlens.base.config import from_json, to_json
from tvlens.prompts import Episodes
from tvlens.tasks import Task, fresh_queries, sample_episodes

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def target_itself(target: Tensor) -> Tensor:
    """The right prediction of a regression."""
    return target


def mean_target(task: Task, queries: Episodes) -> Tensor:
    """What to predict in a regression when neither the task nor the query is known."""
    return queries.target.mean((0, 1)).expand_as(queries.target)


def certain_logits(target: Tensor) -> Tensor:
    """The right prediction of a task with symbols."""
    return 30 * target


def zero_shot_oracle(task: Task, queries: Episodes) -> Tensor:
    """What to predict when the task is not known."""
    return task.oracle(queries.x[:, :0], queries.y[:, :0], queries.x)


def check_task(
    task: Task,
    *,
    exact_from: int | None,
    right: Callable[[Tensor], Tensor] = target_itself,
    ignorant: Callable[[Task, Episodes], Tensor] = mean_target,
) -> None:
    """Check a task against everything that tvlens relies on.

    Args:
        exact_from: how many examples determine the function; None where labels are noisy.
        right: the prediction that says just this target.
        ignorant: the predictor whose loss is the task's scale.
    """
    for device in DEVICES:
        check_data(task, device)
        check_oracle_without_examples(task, device)
    check_configuration(task)
    check_labels(task, noisy=exact_from is None)
    check_loss(task, right)
    check_scale(task, ignorant)
    check_oracle_learns(task, longest=(exact_from or 6) + 2)
    check_oracle_ignores_order(task)
    if exact_from is not None:
        check_oracle_is_exact(task, exact_from)


def episodes_of(task: Task, batch: int, shots: int, seed: int = 0, device: str = "cpu") -> Episodes:
    """Episodes that are the same whenever they are asked for."""
    generator = torch.Generator(device).manual_seed(seed)
    return sample_episodes(task, batch, shots, generator=generator)


def queries_of(task: Task, episodes: Episodes, seed: int = 1) -> Episodes:
    """Fresh queries that are the same whenever they are asked for."""
    generator = Generator(episodes.x.device).manual_seed(seed)
    return fresh_queries(task, episodes, generator=generator)


def episodes_and_queries(
    task: Task, batch: int, shots: int, seed: int = 0
) -> tuple[Episodes, Episodes]:
    """Episodes and fresh queries of the same functions, from one generator."""
    generator = Generator().manual_seed(seed)
    episodes = sample_episodes(task, batch, shots, generator=generator)
    return episodes, fresh_queries(task, episodes, generator=generator)


def check_data(task: Task, device: str) -> None:
    """Data are float32, as wide as the task says, and made by the generator on its device."""
    first, again, other = (episodes_of(task, 5, 4, seed, device) for seed in (0, 0, 1))
    for field in dataclasses.fields(Episodes):
        values = getattr(first, field.name)
        assert values.dtype is torch.float32, f"{field.name} is {values.dtype}"
        assert values.device.type == device, f"{field.name} is on {values.device}"
        assert torch.equal(values, getattr(again, field.name)), f"same seed, other {field.name}"
    assert first.x.shape == (5, 4, task.d_x)
    assert first.y.shape == first.target.shape == (5, 4, task.d_y)
    assert first.params.shape[0] == 5
    assert not torch.equal(first.x, other.x), "another seed gives the same x"


def check_configuration(task: Task) -> None:
    """A task is a frozen dataclass that a file can hold."""
    assert hash(task) == hash(dataclasses.replace(task))  # pyright: ignore[reportArgumentType]
    assert from_json(to_json(task), own_kinds=[type(task)]) == task


def check_labels(task: Task, *, noisy: bool) -> None:
    """Targets are what the functions give, and only noisy labels differ from them."""
    for episodes in (episodes_of(task, 64, 8), queries_of(task, episodes_of(task, 64, 8))):
        assert torch.equal(episodes.target, task.apply(episodes.params, episodes.x))
        assert torch.equal(episodes.y, episodes.target) is not noisy, "labels or noise"


def check_loss(task: Task, right: Callable[[Tensor], Tensor]) -> None:
    """Loss and error judge each prediction by itself, and nothing beats the right one."""
    target = episodes_of(task, 64, 8).target
    best = right(target)
    loss = task.loss(best, target)
    assert loss.shape == (64, 8), "a reduced loss"
    assert_close(task.error(best, target), torch.zeros(64, 8))
    generator = Generator().manual_seed(2)
    for size in (0.01, 0.1, 1.0, 10.0, 100.0):
        worse = best + size * torch.randn(best.shape, generator=generator)
        assert (task.loss(worse, target) >= loss).all(), f"better by a change of {size}"
        assert (task.error(worse, target) >= 0).all()
    changed = best.clone()
    changed[3, 5] = right(-target[3, 5] + 1)
    elsewhere = torch.ones(64, 8, dtype=torch.bool)
    elsewhere[3, 5] = False
    assert torch.equal(task.loss(changed, target)[elsewhere], loss[elsewhere])


def check_scale(task: Task, ignorant: Callable[[Task, Episodes], Tensor]) -> None:
    """The scale is the loss of knowing nothing."""
    queries = episodes_of(task, 4096, 8)
    loss = task.loss(ignorant(task, queries), queries.target).mean(1)
    error = 4 * standard_error(loss) + 1e-5 * task.scale
    assert abs(loss.mean() - task.scale) <= error, f"{loss.mean()} is not {task.scale}"


def check_oracle_without_examples(task: Task, device: str) -> None:
    """With no examples there is an answer, and it is the same in all episodes."""
    episodes = episodes_of(task, 6, 3, device=device)
    query = episodes.x[:1].expand(6, -1, -1)
    prediction = task.oracle(episodes.x[:, :0], episodes.y[:, :0], query)
    assert prediction.isfinite().all()
    assert prediction.device == episodes.x.device
    assert_close(prediction, prediction[:1].expand(6, -1, -1), rtol=0, atol=0)


def check_oracle_learns(task: Task, longest: int) -> None:
    """On average the oracle is never worse for one more example, in error nor in loss."""
    episodes = episodes_of(task, 512, longest)
    queries = queries_of(task, episodes)
    for measure in (task.error, task.loss):
        curve = torch.stack(
            [
                measure(
                    task.oracle(episodes.x[:, :n], episodes.y[:, :n], queries.x), queries.target
                ).mean(1)
                for n in range(longest + 1)
            ]
        )
        assert curve[-1].mean() < curve[0].mean(), "examples did not help"
        for n in range(1, longest + 1):
            for before in {0, n - 1}:
                change = curve[n] - curve[before]
                limit = 4 * standard_error(change) + 1e-6
                assert change.mean() <= limit, f"worse with {n} examples than with {before}"


def check_oracle_ignores_order(task: Task) -> None:
    """Examples are a set."""
    episodes = episodes_of(task, 64, 5)
    queries = queries_of(task, episodes)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = task.oracle(episodes.x[:, order], episodes.y[:, order], queries.x)
    assert_close(shuffled, task.oracle(episodes.x, episodes.y, queries.x), rtol=1e-4, atol=1e-4)


def check_oracle_is_exact(task: Task, exact_from: int) -> None:
    """Clean examples determine the function, and one less does not."""
    episodes = episodes_of(task, 256, exact_from + 2)
    queries = queries_of(task, episodes)
    for n in range(exact_from - 1, exact_from + 3):
        prediction = task.oracle(episodes.x[:, :n], episodes.y[:, :n], queries.x)
        exact = task.error(prediction, queries.target).max() < 1e-4
        assert bool(exact) is (n >= exact_from), f"exact from {exact_from}, but at {n}: {exact}"


def standard_error(values: Tensor) -> float:
    """Standard error of the mean of independent values."""
    return float(values.std() / len(values) ** 0.5)
