import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch.testing import assert_close

from tests.own_tasks import Quadratic
from tests.task_conformance import (
    certain_logits,
    check_task,
    episodes_of,
    queries_of,
    standard_error,
    zero_shot_oracle,
)
from tvlens.base.errors import InputError
from tvlens.tasks import (
    Bijections,
    Direction,
    LinearRegression,
    MapKind,
    OffsetSplit,
    Relations,
    Sinusoid,
    Task,
    TokenOffset,
    oracle_predictions,
    sample_episodes,
)

HELD_OUT = TokenOffset(split=OffsetSplit.HELD_OUT)

REGRESSIONS: list[tuple[Task, int | None]] = [
    (LinearRegression(), 5),
    (LinearRegression(d=1), 1),
    (LinearRegression(d=3, noise=0.5), None),
    (Sinusoid(), 2),
    (Sinusoid(amplitude_min=1.0, amplitude_max=2.0, x_max=1.0), 2),
    (Sinusoid(noise=0.3), None),
    (Quadratic(), 2),
]
SYMBOL_TASKS: list[tuple[Task, int | None]] = [
    (TokenOffset(), 1),
    (HELD_OUT, 1),
    (TokenOffset(vocabulary=7, noise=0.4), None),
    (Bijections(), 3),
    (Bijections(vocabulary=8, mixture=(MapKind(Direction.FORWARD, 3),)), 3),
    (Bijections(vocabulary=8, mixture=(MapKind(Direction.BOTH, 2),)), 3),
    (Bijections(mixture=(MapKind(Direction.COPY, 2), MapKind(Direction.INVERSE, 2))), 2),
    (Relations(5, 3), 3),
    (Relations(3, 2, maps=((5, 3, 4, 1, 2, 0), (3, 4, 5, 0, 1, 2))), 1),
    (Relations(4, 3, (Direction.FORWARD, Direction.INVERSE, Direction.BOTH)), 5),
]


@pytest.mark.parametrize(("task", "exact_from"), REGRESSIONS, ids=str)
def test_a_regression_keeps_what_tasks_promise(task: Task, exact_from: int | None):
    check_task(task, exact_from=exact_from)


@pytest.mark.parametrize(("task", "exact_from"), SYMBOL_TASKS, ids=str)
def test_a_task_of_symbols_keeps_what_tasks_promise(task: Task, exact_from: int | None):
    check_task(task, exact_from=exact_from, right=certain_logits, ignorant=zero_shot_oracle)


@pytest.mark.parametrize("task", [LinearRegression(), Sinusoid(noise=0.3), TokenOffset()], ids=str)
def test_fresh_queries_are_new_examples_of_the_same_functions(task: Task):
    episodes = episodes_of(task, 32, 6)
    queries = queries_of(task, episodes)
    assert torch.equal(queries.params, episodes.params)
    assert torch.equal(queries.target, task.apply(episodes.params, queries.x))
    assert not torch.equal(queries.x, episodes.x)


def test_oracle_predictions_use_the_examples_before_the_query_and_no_others():
    task = LinearRegression(d=2)
    episodes = episodes_of(task, 8, 5)
    queries = queries_of(task, episodes)
    predictions = oracle_predictions(task, episodes, queries)
    for n in range(5):
        known = episodes_of(task, 8, 5)
        known.y[:, n:] = torch.nan
        known.x[:, n:] = torch.nan
        alone = task.oracle(known.x[:, :n], known.y[:, :n], queries.x[:, n : n + 1])
        assert torch.equal(predictions[:, n : n + 1], alone)


@pytest.mark.parametrize("d", [2, 5])
def test_least_squares_error_is_the_share_of_directions_not_seen(d: int):
    task = LinearRegression(d=d)
    episodes = episodes_of(task, 4096, d + 2)
    queries = queries_of(task, episodes)
    errors = task.error(oracle_predictions(task, episodes, queries), queries.target)
    for n, error in enumerate(errors.T):
        limit = 4 * standard_error(error) if n < d else 1e-4
        assert abs(float(error.mean()) - max(0.0, 1 - n / d)) <= limit


@pytest.mark.parametrize(
    ("n", "noise", "expected"),
    [
        (5, 0.1, 0.057),
        (5, 0.5, 0.228),
        (5, 2.0, 0.585),
        (10, 0.25, 0.015),
        (10, 1.0, 0.166),
        (20, 0.5, 0.016),
        (20, 2.0, 0.206),
    ],
)
def test_error_of_noisy_linear_regression_is_that_of_a_simulation_done_elsewhere(
    n: int, noise: float, expected: float
):
    task, batch, batch_elsewhere = LinearRegression(noise=noise), 8000, 4000
    episodes = episodes_of(task, batch, n)
    queries = queries_of(task, episodes)
    errors = task.error(task.oracle(episodes.x, episodes.y, queries.x), queries.target)[:, 0]
    rounding = 0.5 * 10.0 ** -len(str(expected).split(".")[1])
    spread = standard_error(errors) * math.sqrt(1 + batch / batch_elsewhere)
    assert abs(float(errors.mean()) - expected) <= 4 * spread + rounding


@pytest.mark.parametrize("n", [1, 3, 5, 12])
@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_the_linear_oracle_is_ridge_regression(n: int, noise: float):
    task = LinearRegression(noise=noise)
    episodes = episodes_of(task, 4, n)
    queries = queries_of(task, episodes)
    predictions = task.oracle(episodes.x, episodes.y, queries.x)
    for x, y, query, prediction in zip(episodes.x, episodes.y, queries.x, predictions, strict=True):
        ridge = Ridge(alpha=noise**2, fit_intercept=False)
        ridge.fit(x.double().numpy(), y[:, 0].double().numpy())
        np.testing.assert_allclose(
            prediction[:, 0], ridge.predict(query.double().numpy()), rtol=1e-5, atol=1e-5
        )


def test_the_noise_free_linear_oracle_is_the_shortest_solution():
    task = LinearRegression(d=5)
    episodes = episodes_of(task, 8, 3)
    weights = torch.linalg.pinv(episodes.x.double()) @ episodes.y.double()
    queries = queries_of(task, episodes)
    assert_close(
        task.oracle(episodes.x, episodes.y, queries.x),
        (queries.x.double() @ weights).float(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_moments_of_the_sinusoid_are_those_of_its_definition():
    episodes = episodes_of(Sinusoid(), 20_000, 8)
    amplitude, phase = episodes.params.unbind(-1)
    sine, cosine = amplitude * phase.cos(), amplitude * phase.sin()
    for values, expected in (
        (episodes.target.square().mean((1, 2)), 4.25),
        (episodes.target.mean((1, 2)), -0.31),
        (sine, 0.0),
        (cosine, 1.62),
        ((sine - sine.mean()).square(), 4.25),
        ((cosine - cosine.mean()).square(), 1.62),
        (sine * cosine, 0.0),
    ):
        assert abs(float(values.mean()) - expected) <= 4 * standard_error(values) + 0.005


def test_a_sinusoid_is_linear_in_the_sine_and_cosine_of_x():
    episodes = episodes_of(Sinusoid(), 64, 8)
    amplitude, phase = episodes.params[:, None, :1], episodes.params[:, None, 1:]
    x = episodes.x
    linear = amplitude * phase.cos() * x.sin() + amplitude * phase.sin() * x.cos()
    assert_close(episodes.target, linear, rtol=1e-5, atol=1e-5)


def test_the_sinusoid_oracle_without_examples_is_the_mean_function():
    x = torch.linspace(-5, 5, 11).reshape(1, 11, 1)
    prediction = Sinusoid().oracle(x[:, :0], x[:, :0], x)
    assert_close(prediction, 2.55 * 2 / math.pi * x.cos())


@pytest.mark.parametrize("noise", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("split", OffsetSplit)
def test_the_offset_oracle_is_the_posterior_written_out(noise: float, split: OffsetSplit):
    task = TokenOffset(vocabulary=7, held_out_share=0.4, split=split, noise=noise)
    episodes = episodes_of(task, 6, 5)
    symbols_x, symbols_y = episodes.x.argmax(-1).tolist(), episodes.y.argmax(-1).tolist()
    for n in range(5):
        oracle = task.oracle(episodes.x[:, :n], episodes.y[:, :n], episodes.x[:, n:]).exp()
        for row in range(6):
            weights = {
                k: math.prod(
                    (1 - noise) * (y == (x + k) % 7) + noise / 7
                    for x, y in zip(symbols_x[row][:n], symbols_y[row][:n], strict=True)
                )
                for k in task.offsets
            }
            for index, query in enumerate(symbols_x[row][n:]):
                expected = [weights.get((y - query) % 7, 0.0) for y in range(7)]
                assert_close(oracle[row, index], torch.tensor(expected) / sum(weights.values()))


@pytest.mark.parametrize(("vocabulary", "share"), [(3, 0.5), (8, 0.2), (32, 0.2), (32, 0.9)])
def test_training_and_held_out_offsets_share_all_shifts_but_zero(vocabulary: int, share: float):
    train, held_out = (TokenOffset(vocabulary, share, split) for split in OffsetSplit)
    assert sorted(train.offsets + held_out.offsets) == list(range(1, vocabulary))
    for task in (train, held_out):
        assert set(episodes_of(task, 1000, 1).params.flatten().tolist()) == set(task.offsets)


def test_held_out_offsets_never_change():
    assert HELD_OUT.offsets == TokenOffset(noise=0.3, split=OffsetSplit.HELD_OUT).offsets
    torch.manual_seed(1)
    assert HELD_OUT.offsets == TokenOffset(split=OffsetSplit.HELD_OUT).offsets


def test_offset_labels_are_uniform_where_noise_replaced_them():
    task = TokenOffset(vocabulary=5, noise=0.5)
    episodes = episodes_of(task, 4000, 2)
    wrong = (episodes.y != episodes.target).any(-1).float().mean(1)
    assert abs(float(wrong.mean()) - 0.5 * 4 / 5) <= 4 * standard_error(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearRegression(d=0),
        lambda: LinearRegression(noise=-1.0),
        lambda: Sinusoid(amplitude_min=3.0, amplitude_max=2.0),
        lambda: Sinusoid(x_max=0.0),
        lambda: TokenOffset(vocabulary=2),
        lambda: TokenOffset(noise=1.0),
        lambda: TokenOffset(held_out_share=0.0, split=OffsetSplit.HELD_OUT),
    ],
)
def test_a_task_that_can_not_be_drawn_is_refused(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(
    "task", [LinearRegression(d=3), Sinusoid()], ids=lambda t: type(t).__name__
)
def test_the_oracle_answers_in_the_precision_that_it_is_asked_in(task: Task):
    generator = torch.Generator().manual_seed(0)
    episodes = sample_episodes(task, 4, 9, generator=generator)
    x, y = episodes.x.double(), episodes.y.double()
    found = task.oracle(x[:, :8], y[:, :8], x[:, 8:])
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, y[:, 8:], rtol=1e-4, atol=1e-4)
