"""Shifts are pure, keep targets clean, and change what they say and nothing else."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
from tests.task_conformance import standard_error
from tvlens.shifts import (
    BiasedInputs,
    ContextLength,
    CorruptedExample,
    HalfSubspace,
    HeavyTailedWeights,
    HeldOutOffsets,
    LabelNoise,
    OneOrthant,
    Orthant,
    OrthogonalQuery,
    OutlierLabels,
    RepeatedQuery,
    ScaledInputs,
    ScaledOutputs,
    Shift,
    ShuffledOrder,
    SkewedInputs,
    SparseWeights,
    Standard,
    TokenFlips,
    Trial,
    Where,
    noise_grid,
    suite,
)
from tvlens.tasks import OffsetSplit

LINEAR, SINUSOID, OFFSET = tvl.LinearRegression(d=4), tvl.Sinusoid(), tvl.TokenOffset(vocabulary=12)
NOISY = tvl.LinearRegression(d=4, noise=0.5)
TASKS: tuple[tvl.LinearRegression | tvl.Sinusoid | tvl.TokenOffset, ...] = (
    LINEAR,
    SINUSOID,
    OFFSET,
    NOISY,
)


def trial_of(task: tvl.Task, batch: int = 64, examples: int = 6, seed: int = 0) -> Trial:
    generator = Generator().manual_seed(seed)
    episodes = tvl.sample_episodes(task, batch, examples + 1, generator=generator)
    return Trial.of(episodes, tvl.fresh_queries(task, episodes, generator=generator))


def shifted(shift: Shift, task: tvl.Task, trial: Trial, seed: int = 1) -> Trial:
    return shift(task, trial, generator=Generator().manual_seed(seed))


def tensors(trial: Trial) -> dict[str, Tensor]:
    return {
        f"{part}.{field.name}": getattr(getattr(trial, part), field.name)
        for part in ("context", "queries")
        for field in dataclasses.fields(tvl.Episodes)
    }


CASES = [
    (task, shift)
    for task in TASKS
    for shift in (*suite(task, trial_of(task)), *noise_grid(task, trial_of(task)))
]
NAMES = [f"{type(task).__name__}-{task.noise}-{shift.name}" for task, shift in CASES]


@pytest.mark.parametrize(("task", "shift"), CASES, ids=NAMES)
def test_a_shift_is_pure_and_its_targets_are_the_functions_at_its_inputs(
    task: tvl.Task, shift: Shift
) -> None:
    trial = trial_of(task)
    before = {name: values.clone() for name, values in tensors(trial).items()}
    first, again = (tensors(shifted(shift, task, trial)) for _ in range(2))
    for name, values in tensors(trial).items():
        assert torch.equal(values, before[name]), f"{name} was changed in place"
        assert torch.equal(first[name], again[name]), f"same seed, other {name}"
        assert first[name].isfinite().all() and first[name].dtype is torch.float32
    assert any(not torch.equal(first[name], before[name]) for name in before), "nothing changed"
    for part in ("context", "queries"):
        x, params = first[f"{part}.x"], first[f"{part}.params"]
        target = task.apply(params, x)
        # A matrix product of other shapes may round otherwise.
        assert_close(first[f"{part}.target"], target, rtol=1e-5, atol=1e-5)
    assert torch.equal(first["context.params"], first["queries.params"])


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_noise_changes_labels_of_the_context_and_nothing_else(task: tvl.Task) -> None:
    trial = trial_of(task)
    for noise in (*noise_grid(task, trial), CorruptedExample(2)):
        before, after = tensors(trial), tensors(shifted(noise, task, trial))
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {"context.y"}, noise


@pytest.mark.parametrize("task", [LINEAR, SINUSOID, OFFSET], ids=repr)
def test_shifts_of_clean_tasks_show_clean_labels(task: tvl.Task) -> None:
    trial = trial_of(task)
    for shift in suite(task, trial):
        after = shifted(shift, task, trial).context
        assert torch.equal(after.y, after.target), shift


@pytest.mark.parametrize("task", [LINEAR, SINUSOID, OFFSET], ids=repr)
def test_no_noise_is_the_clean_trial(task: tvl.Task) -> None:
    trial = trial_of(task)
    kinds = {type(noise) for noise in noise_grid(task, trial)}
    for kind in kinds:
        after = shifted(kind(0.0), task, trial)
        assert torch.equal(after.context.y, trial.context.y)
        assert kind(0.0).aware(task) == task


# Noise


@pytest.mark.parametrize(
    ("task", "deviation"), [(LINEAR, 0.5), (SINUSOID, 0.5 * SINUSOID.scale**0.5)], ids=repr
)
def test_label_noise_is_measured_in_the_spread_of_labels(task, deviation: float) -> None:
    trial = trial_of(task, batch=4000)
    after = shifted(LabelNoise(0.5), task, trial)
    noise = after.context.y - after.context.target
    assert float(noise.std()) == pytest.approx(deviation, rel=0.02)
    assert abs(float(noise.mean())) < 4 * deviation / noise.numel() ** 0.5
    aware = LabelNoise(0.5).aware(task)
    assert isinstance(aware, tvl.LinearRegression | tvl.Sinusoid) and aware.noise == pytest.approx(
        deviation
    )


def test_more_noise_is_the_same_noise() -> None:
    trial = trial_of(LINEAR)
    small, large = (
        shifted(LabelNoise(level), LINEAR, trial).context.y - trial.context.y
        for level in (0.5, 2.0)
    )
    assert_close(large, 4 * small, rtol=1e-4, atol=1e-4)
    few, many = (
        (shifted(OutlierLabels(share), LINEAR, trial).context.y != trial.context.y)
        for share in (0.1, 0.4)
    )
    assert bool(many[few].all()) and many.sum() > few.sum()


def test_labels_are_replaced_as_often_as_asked() -> None:
    trial = trial_of(LINEAR, batch=4000)
    after = shifted(OutlierLabels(0.2), LINEAR, trial).context
    replaced = after.y != after.target
    assert float(replaced.float().mean()) == pytest.approx(0.2, abs=0.01)
    # A label of an independent function at the same x: difference of variance 2 |x|^2.
    excess = (after.y - after.target)[replaced].square().mean()
    assert float(excess) == pytest.approx(2 * LINEAR.d, rel=0.1)
    symbols = trial_of(OFFSET, batch=4000)
    flipped = shifted(TokenFlips(0.3), OFFSET, symbols).context
    assert_close(flipped.y.sum(-1), torch.ones(flipped.y.shape[:2]))
    wrong = (flipped.y != flipped.target).any(-1).float().mean()
    assert float(wrong) == pytest.approx(0.3 * (1 - 1 / OFFSET.vocabulary), abs=0.01)


def test_one_example_is_corrupted_and_none_beyond_the_context() -> None:
    trial = trial_of(LINEAR)
    for position in (1, 6):
        after = shifted(CorruptedExample(position), LINEAR, trial).context
        wrong = (after.y != trial.context.y).all(-1).all(0)
        assert wrong.tolist() == [place == position for place in range(1, 7)]
    beyond = shifted(CorruptedExample(7), LINEAR, trial).context
    assert torch.equal(beyond.y, trial.context.y)


@pytest.mark.parametrize(
    ("d", "n", "level", "error"),
    [(5, 10, 0.5, 0.048), (5, 20, 1.0, 0.065), (10, 20, 1.0, 0.095), (10, 10, 2.0, 0.480)],
)
def test_the_oracle_that_knows_the_noise_is_ridge(
    d: int, n: int, level: float, error: float
) -> None:
    """Mean squared error of ridge regression over d, from an independent simulation."""
    task = tvl.LinearRegression(d=d)
    trial = shifted(LabelNoise(level), task, trial_of(task, 3000, n))
    aware = LabelNoise(level).aware(task)
    assert aware is not None
    errors = []
    for each in (aware, task):
        prediction = each.oracle(trial.context.x, trial.context.y, trial.queries.x)
        errors.append(task.error(prediction, trial.queries.target).mean(1))
    assert float(errors[0].mean()) == pytest.approx(error, abs=5 * standard_error(errors[0]))
    assert errors[0].mean() < errors[1].mean(), "knowing the noise did not help"


# Inputs


@pytest.mark.parametrize("shift", [ScaledInputs(2.0), BiasedInputs(1.0), SkewedInputs()])
def test_the_context_the_query_or_both_are_shifted(shift) -> None:
    trial = trial_of(LINEAR)
    for where in Where:
        after = shifted(dataclasses.replace(shift, where=where), LINEAR, trial)
        same_context = torch.equal(after.context.x, trial.context.x)
        same_query = torch.equal(after.queries.x, trial.queries.x)
        assert (same_context, same_query) == (where is Where.QUERY, where is Where.CONTEXT)


def test_scaled_and_biased_inputs_are_just_that() -> None:
    trial = trial_of(SINUSOID)
    assert torch.equal(shifted(ScaledInputs(3.0), SINUSOID, trial).queries.x, 3 * trial.queries.x)
    assert torch.equal(shifted(BiasedInputs(2.0), SINUSOID, trial).context.x, trial.context.x + 2)


def test_skewed_inputs_have_the_covariance_of_their_definition() -> None:
    trial = trial_of(LINEAR, batch=2, examples=40_000)
    inverse_squares = 1 / torch.arange(1, 5).double() ** 2
    expected = LINEAR.d * inverse_squares / inverse_squares.sum()
    covariances = []
    for x in shifted(SkewedInputs(), LINEAR, trial).context.x.double():
        covariances.append(x.T @ x / len(x))
        assert_close(torch.linalg.eigvalsh(covariances[-1]).flip(0), expected, rtol=0.05, atol=0.01)
    assert float((covariances[0] - covariances[1]).abs().max()) > 0.1, "one axis for all episodes"


def test_half_of_the_space_is_shared_by_context_and_query() -> None:
    trial = trial_of(LINEAR, batch=2000)
    after = shifted(HalfSubspace(), LINEAR, trial)
    both = torch.cat([after.context.x, after.queries.x], dim=1).double()
    values = torch.linalg.svdvals(both)
    assert bool((values[:, 1] > 1e-2).all()) and float(values[:, 2:].max()) < 1e-4
    assert float(both.square().sum(-1).mean()) == pytest.approx(LINEAR.d, rel=0.05)


def test_orthants_and_their_opposites() -> None:
    trial = trial_of(LINEAR, batch=400)
    for query in Orthant:
        after = shifted(OneOrthant(query), LINEAR, trial)
        signs = after.context.x.sign()
        assert torch.equal(signs, signs[:, :1].expand_as(signs))
        assert torch.equal(after.context.x.abs(), trial.context.x.abs())
        if query is Orthant.FREE:
            assert torch.equal(after.queries.x, trial.queries.x)
        else:
            side = 1 if query is Orthant.SAME else -1
            assert torch.equal(after.queries.x.sign(), side * signs[:, :2])
        assert len({tuple(each) for each in signs[:, 0].tolist()}) == 2**LINEAR.d


def test_an_orthogonal_query_is_orthogonal_and_as_long() -> None:
    trial = trial_of(LINEAR)
    after = shifted(OrthogonalQuery(), LINEAR, trial)
    assert torch.equal(after.context.x, trial.context.x[:, : LINEAR.d - 1])
    products = after.queries.x @ after.context.x.transpose(1, 2)
    assert float(products.abs().max()) < 1e-4
    assert_close(after.queries.x.norm(dim=-1), trial.queries.x.norm(dim=-1))


def test_a_repeated_query_is_any_example_of_the_context() -> None:
    trial = trial_of(LINEAR, batch=3000)
    after = shifted(RepeatedQuery(), LINEAR, trial)
    matches = (after.queries.x[:, :, None] == trial.context.x[:, None]).all(-1)
    assert bool((matches.sum(-1) == 1).all())
    shares = matches.float().mean((0, 1))
    assert_close(shares, torch.full((6,), 1 / 6), rtol=0.15, atol=0)


# Functions and contexts


@pytest.mark.parametrize("task", [LINEAR, SINUSOID], ids=repr)
def test_scaled_outputs_are_scaled(task: tvl.Task) -> None:
    trial = trial_of(task)
    after = shifted(ScaledOutputs(3.0), task, trial)
    assert_close(after.queries.target, 3 * trial.queries.target)
    assert_close(after.context.y, 3 * trial.context.y)


def test_sparse_weights_are_few_and_as_long() -> None:
    trial = trial_of(LINEAR, batch=4000)
    w = shifted(SparseWeights(2), LINEAR, trial).context.params
    assert bool(((w != 0).sum(-1) == 2).all())
    assert_close((w != 0).float().mean(0), torch.full((4,), 0.5), rtol=0.1, atol=0)
    assert float(w.square().sum(-1).mean()) == pytest.approx(LINEAR.d, rel=0.05)


def test_heavy_tailed_weights_follow_student_with_unit_variance() -> None:
    trial = trial_of(LINEAR, batch=2000)
    w = shifted(HeavyTailedWeights(), LINEAR, trial).context.params.flatten().numpy()
    assert stats.t(df=3).std() == pytest.approx(3**0.5)
    assert stats.kstest(w, stats.t(df=3, scale=3**-0.5).cdf).pvalue > 0.05
    assert stats.kstest(w, stats.norm.cdf).pvalue < 1e-6


def test_held_out_offsets_are_those_that_training_never_drew() -> None:
    after = shifted(HeldOutOffsets(), OFFSET, trial_of(OFFSET))
    offsets = set(after.context.params.flatten().int().tolist())
    held_out = dataclasses.replace(OFFSET, split=OffsetSplit.HELD_OUT)
    assert offsets <= set(held_out.offsets) and not offsets & set(OFFSET.offsets)
    aware = HeldOutOffsets().aware(OFFSET)
    assert aware is not None
    prediction = aware.oracle(after.context.x, after.context.y, after.queries.x)
    assert float(OFFSET.error(prediction, after.queries.target).max()) == 0


@pytest.mark.parametrize("task", [LINEAR, NOISY, OFFSET], ids=repr)
def test_contexts_are_cut_or_go_on(task: tvl.Task) -> None:
    trial = trial_of(task)
    for length in (3, 6, 11):
        after = shifted(ContextLength(length), task, trial)
        assert after.examples == length
        kept = min(length, 6)
        for name in ("x", "y"):
            old, new = getattr(trial.context, name), getattr(after.context, name)
            assert torch.equal(new[:, :kept], old[:, :kept])
        assert torch.equal(after.queries.x, trial.queries.x)


def test_another_order_is_the_same_set_of_pairs() -> None:
    trial = trial_of(NOISY)
    after = shifted(ShuffledOrder(), NOISY, trial).context
    order = after.x[:, :, :1].argsort(1), trial.context.x[:, :, :1].argsort(1)
    for name in ("x", "y", "target"):
        new, old = getattr(after, name), getattr(trial.context, name)
        assert torch.equal(new.take_along_dim(order[0], 1), old.take_along_dim(order[1], 1))
    assert not torch.equal(after.x, trial.context.x)


# What cannot be


@pytest.mark.parametrize(
    ("shift", "task", "message"),
    [
        (ScaledInputs(2.0), OFFSET, "one-hot symbols. LinearRegression, Sinusoid"),
        (LabelNoise(1.0), OFFSET, "needs labels of real numbers"),
        (TokenFlips(0.1), LINEAR, "TokenOffset can take it"),
        (SkewedInputs(), SINUSOID, "at least 2 components.*LinearRegression"),
        (OrthogonalQuery(), SINUSOID, "at least 2 components"),
        (SparseWeights(), SINUSOID, "LinearRegression can take it"),
        (SparseWeights(5), LINEAR, "more than the 4"),
        (ScaledOutputs(2.0), OFFSET, "LinearRegression and Sinusoid can take it"),
        (HeldOutOffsets(), LINEAR, "TokenOffset can take it"),
        (HeldOutOffsets(), tvl.TokenOffset(held_out_share=0.0), "No offset is left"),
    ],
    ids=lambda each: getattr(each, "name", None) or type(each).__name__,
)
def test_a_shift_that_a_task_cannot_take_says_so(shift, task, message: str) -> None:
    with pytest.raises(tvl.InputError, match=message):
        shifted(shift, task, trial_of(task))
    assert shift.name not in {each.name for each in suite(task, trial_of(task))}


@pytest.mark.parametrize(
    "make",
    [
        lambda: LabelNoise(-1.0),
        lambda: OutlierLabels(1.5),
        lambda: TokenFlips(-0.1),
        lambda: CorruptedExample(0),
        lambda: SparseWeights(0),
        lambda: ContextLength(0),
    ],
)
def test_impossible_parameters_are_refused(make) -> None:
    with pytest.raises(tvl.InputError):
        make()


def test_a_trial_needs_a_context_and_queries_of_the_same_functions() -> None:
    generator = Generator().manual_seed(0)
    episodes = tvl.sample_episodes(LINEAR, 4, 3, generator=generator)
    others = tvl.sample_episodes(LINEAR, 4, 3, generator=generator)
    with pytest.raises(tvl.InputError, match="fresh_queries"):
        Trial.of(episodes, others)
    with pytest.raises(tvl.InputError, match="2 shots"):
        single = tvl.sample_episodes(LINEAR, 4, 1, generator=generator)
        Trial.of(single, single)


# One's own


@dataclass(frozen=True)
class Rounded(Shift):
    """Inputs on a grid."""

    step: float

    def apply(self, task: tvl.Task, trial: Trial, *, generator: Generator) -> Trial:
        def grid(x: Tensor) -> Tensor:
            return (x / self.step).round() * self.step

        context_x, query_x = grid(trial.context.x), grid(trial.queries.x)
        return trial.redrawn(task, context_x=context_x, query_x=query_x, generator=generator)


@dataclass(frozen=True)
class Quadratic:
    """A task of a user: y = a x^2."""

    d_x: int = 1
    d_y: int = 1
    scale: float = 3.0

    def sample_params(self, batch, *, generator):
        return torch.randn(batch, 1, generator=generator)

    def sample_inputs(self, params, shots, *, generator):
        return torch.randn(len(params), shots, 1, generator=generator)

    def apply(self, params, x):
        return params[:, None] * x**2

    def corrupt(self, y, *, generator):
        return y

    def loss(self, prediction, target):
        return (prediction - target).square().squeeze(-1)

    def error(self, prediction, target):
        return self.loss(prediction, target) / self.scale

    def oracle(self, x, y, query):
        return self.apply((torch.linalg.pinv(x**2) @ y).squeeze(-1), query)


def test_ones_own_shift_of_ones_own_task() -> None:
    task = Quadratic()
    trial = trial_of(task)
    after = shifted(Rounded(0.5), task, trial)
    assert isinstance(Rounded(0.5), Shift) and Rounded(0.5).aware(task) is task
    assert bool((after.queries.x % 0.5 == 0).all())
    assert_close(after.context.y, task.apply(after.context.params, after.context.x))
    assert Rounded(0.5).name == "Rounded(step=0.5)"
    names = {shift.name for shift in suite(task, trial)}
    assert {"x times 2, both", "x plus 1, query", "query repeats an example"} <= names
    assert not any(name.startswith(("w ", "y times", "held-out")) for name in names)
    for shift in (*suite(task, trial), *noise_grid(task, trial)):
        assert shifted(shift, task, trial).context.y.isfinite().all()
    assert LabelNoise(1.0).aware(task) is None, "no oracle of this task knows of noise"


def test_no_shift_is_none() -> None:
    trial = trial_of(LINEAR)
    assert shifted(Standard(), LINEAR, trial) is trial
    names = [shift.name for shift in suite(LINEAR, trial)]
    assert len(set(names)) == len(names) and "x times 1/3, query" in names
    assert np.isin(["24 examples"], [s.name for s in suite(LINEAR, trial_of(LINEAR, 2, 12))])


def test_the_oracle_does_not_read_rounding_errors() -> None:
    """In half of the space least squares knows half of w: the error is 1 - rank / d."""
    trial = trial_of(LINEAR, batch=3000)
    after = shifted(HalfSubspace(Where.CONTEXT), LINEAR, trial)
    prediction = LINEAR.oracle(after.context.x, after.context.y, after.queries.x)
    errors = LINEAR.error(prediction, after.queries.target).mean(1)
    assert float(errors.mean()) == pytest.approx(1 - 2 / 4, abs=4 * standard_error(errors))
