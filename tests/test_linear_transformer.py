"""The linear transformer against the definition it is an implementation of."""

import itertools
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
from tests.task_conformance import check_task
from tests.transcribed import attention, transcribed
from tvlens.base.config import from_json, to_json
from tvlens.models import (
    AttentionWeights,
    DropoutKind,
    FirstLayer,
    LinearConfig,
    LinearTransformer,
    TokenDropout,
)
from tvlens.prompts import (
    COLUMN_FORMATS,
    INSEPARABLE,
    PAIRWISE,
    SINGLE,
    TRIPLET,
    ColumnFormat,
    Episodes,
    Role,
)
from tvlens.tasks import LowRankRegression, MatrixRegression, sample_episodes

D, N, BATCH = 3, 2, 4
COVARIANCE = ((2.0, 0.5, 0.0), (0.5, 1.0, 0.2), (0.0, 0.2, 0.5))
TRIPLET, INSEPARABLE = TRIPLET, INSEPARABLE

each_format = pytest.mark.parametrize("format", COLUMN_FORMATS)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def episodes(batch: int = BATCH, seed: int = 0, examples: int = N) -> Episodes:
    drawn = sample_episodes(MatrixRegression(D), batch, examples + 1, generator=rng(seed))
    return Episodes(*(each.double() for each in (drawn.x, drawn.y, drawn.target, drawn.params)))


def random_model(
    format: ColumnFormat = TRIPLET, seed: int = 0, **options: Any
) -> LinearTransformer:
    """A model in float64 whose weights are large enough for every term to show."""
    config = LinearConfig(**{"n_layers": 3, "init_std": 0.5, **options})
    return LinearTransformer(config, D, format, N, generator=rng(seed), dtype=torch.float64)


# The definition


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("format", "weights", "first_layer"),
    [
        *itertools.product(COLUMN_FORMATS, AttentionWeights, [FirstLayer.FULL]),
        *itertools.product([INSEPARABLE], list(AttentionWeights)[:2], [FirstLayer.LIFTS]),
    ],
)
def test_every_layer_is_what_the_definition_says(
    format: ColumnFormat, weights: AttentionWeights, first_layer: FirstLayer, causal: bool
):
    """Sections 3 and A.4, where Theorem 7 has a first layer that lifts x."""
    options = {"weights": weights, "first_layer": first_layer, "causal": causal}
    model, data = random_model(format, **options), episodes()
    prompt = format.context(data)
    expected = torch.stack(
        [transcribed(model, x, y, None) for x, y in zip(data.x, data.y, strict=True)]
    )
    scale = float(expected.detach().abs().max())
    for layer in range(model.n_layers + 1):
        stream = model(prompt.inputs, prompt.position_ids, stop_at_layer=layer)
        assert_close(stream, expected[:, layer].mT, rtol=0, atol=1e-13 * scale)
        rest = model(stream, prompt.position_ids, start_at_layer=layer)
        assert_close(rest, -expected[:, -1, D:].mT, rtol=0, atol=1e-13 * scale)
    assert_close(model(prompt.inputs), model(prompt.inputs, prompt.position_ids), rtol=0, atol=0)


def test_pairs_whose_x_is_lifted_to_their_y_are_single_tokens():
    """So a lifting layer and two others can be all that two layers on `SINGLE` are."""
    lifted = random_model(INSEPARABLE, n_layers=3, first_layer=FirstLayer.LIFTS)
    single = random_model(SINGLE, n_layers=2, seed=1)
    for name in "ABC":
        for layer in (1, 2):
            value = getattr(attention(single, layer - 1), name).data
            getattr(attention(lifted, layer), name).data = value
            attention(lifted, layer).D.data.zero_()
    onto_y = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    attention(lifted, 0).D.data = torch.block_diag(*[onto_y] * (N + 1))
    attention(lifted, 0).A.data.fill_(N)  # A layer divides by n.
    data = episodes()
    prompts = (INSEPARABLE.context(data), SINGLE.context(data))
    stream = lifted(prompts[0].inputs, stop_at_layer=1)[:, INSEPARABLE.tokens(Role.Y, N + 1)]
    assert_close(stream, prompts[1].inputs, rtol=1e-14, atol=1e-14)
    answers = (lifted.answer(prompts[0]), single.answer(prompts[1]))
    assert_close(*answers, rtol=1e-12, atol=1e-12)


def test_inseparable_pairs_tell_structured_layers_nothing_unless_x_is_lifted():
    """What they answer then is linear in the prompt, and y = W x is not in x and W."""
    model = random_model(INSEPARABLE, weights=AttentionWeights.MATRICES)
    first, second = (INSEPARABLE.context(episodes(seed=seed)).inputs for seed in (0, 1))
    expected = 2 * model(first) - model(second)
    assert_close(model(2 * first - second), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", DropoutKind)
@each_format
def test_dropout_is_what_the_definition_says(format: ColumnFormat, kind: DropoutKind):
    model = random_model(format, dropout=TokenDropout(0.6, kind))
    data = episodes()
    prompt = format.context(data)
    kept = model.sample_kept(BATCH, generator=rng())
    assert not kept.all()
    rows = zip(data.x, data.y, kept.unbind(1), strict=True)
    expected = torch.stack([transcribed(model, *row)[-1, D:].mT for row in rows])
    found = model(prompt.inputs, prompt.position_ids, kept=kept)
    assert_close(found, -expected, rtol=1e-12, atol=1e-12)
    last = model(prompt.inputs, prompt.position_ids, kept=kept, only=slice(-1, None))
    assert_close(last, found[:, -1:], rtol=1e-12, atol=1e-12)
    everything = torch.ones_like(kept)
    whole = model(prompt.inputs, prompt.position_ids, kept=everything)
    assert_close(whole, model(prompt.inputs, prompt.position_ids), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("format", "kind", "safe"),
    [
        (TRIPLET, DropoutKind.INPUT, {6, 8}),
        (TRIPLET, DropoutKind.OUTPUT, {6, 8}),
        (TRIPLET, DropoutKind.ATTENTION_INPUT, {6, 7, 8}),
        (PAIRWISE, DropoutKind.INPUT, {4, 5}),
        (SINGLE, DropoutKind.INPUT, {2}),
    ],
)
def test_dropout_spares_the_query_and_is_as_frequent_as_asked(
    format: ColumnFormat, kind: DropoutKind, safe: set[int]
):
    kept = random_model(format, dropout=TokenDropout(0.7, kind)).sample_kept(4000, generator=rng())
    shares = kept.double().mean(1)
    for position in range(shares.shape[1]):
        if position in safe:
            assert (shares[:, position] == 1).all()
        else:
            assert_close(shares[:, position], torch.full_like(shares[:, 0], 0.7), rtol=0, atol=0.03)


@each_format
def test_only_some_positions_are_the_same_positions_of_all(format: ColumnFormat):
    model, prompt = random_model(format), format.context(episodes())
    whole = model(prompt.inputs, prompt.position_ids)
    for only in (slice(-1, None), slice(0, 2), slice(0, None, 2)):
        assert_close(model(prompt.inputs, only=only), whole[:, only], rtol=1e-12, atol=1e-12)
    assert_close(
        model(prompt.inputs, start_at_layer=3, only=slice(-1, None)), -prompt.inputs[:, -1:, D:]
    )


def test_a_causal_model_knows_nothing_of_what_follows():
    model, prompt = random_model(causal=True), TRIPLET.context(episodes())
    changed = prompt.inputs.clone()
    changed[:, 5:] += 1
    before, after = model(prompt.inputs), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_the_best_single_layer_answers_by_the_examples_outer_products():
    """Equation 4: yhat = (c/n) Y X^T x, with the sign turned twice."""
    model = random_model(SINGLE, n_layers=1)
    attn = attention(model, 0)
    for weight, value in ((attn.A, 0.0), (attn.B, 1.0), (attn.C, -0.7)):
        torch.nn.init.constant_(weight, value)
    data = episodes()
    prediction = model(SINGLE.context(data).inputs)[:, -1]
    X, Y = data.x[:, :N], data.y[:, :N]
    assert_close(prediction, 0.7 / N * torch.einsum("bni,bnj,bj->bi", Y, X, data.x[:, N]))


@pytest.mark.parametrize("format", [PAIRWISE, TRIPLET])
def test_adding_the_answer_to_the_prompt_adds_it_to_the_output(format: ColumnFormat):
    """Lemma 9: scores do not see y halves, and nobody sees the last token."""
    model, data = random_model(format, weights=AttentionWeights.MATRICES), episodes()
    inputs = format.context(data).inputs
    told = inputs.clone()
    told[:, -1, D:] += data.y[:, -1]
    output = -model(inputs)[:, -1]
    assert_close(-model(told)[:, -1], output + data.y[:, -1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("format", [f for f in COLUMN_FORMATS if f.ordered])
def test_a_shorter_prompt_at_the_end_is_the_longer_one_without_its_beginning(
    format: ColumnFormat,
):
    data, few = episodes(examples=2), slice(1, None)
    whole = format.context(data)
    short = Episodes(data.x[:, few], data.y[:, few], data.target[:, few], data.params)
    end, tokens = format.context(short), 2 * len(format.roles)
    assert torch.equal(end.inputs, whole.inputs[:, -tokens:])
    assert torch.equal(end.position_ids, whole.position_ids[:, -tokens:])


@pytest.mark.parametrize("weights", [AttentionWeights.SCALAR, AttentionWeights.MATRICES])
def test_a_first_layer_that_does_not_compare_is_one_whose_C_is_zero(weights: AttentionWeights):
    blind = random_model(weights=weights, first_layer=FirstLayer.BLIND)
    same = random_model(weights=weights)
    zero = {"blocks.0.attn.C": torch.zeros_like(attention(same, 0).C)}
    same.load_state_dict({**blind.state_dict(), **zero})
    prompt = TRIPLET.context(episodes())
    assert_close(blind(prompt.inputs), same(prompt.inputs), rtol=0, atol=0)
    trained = {name for name, _ in blind.named_parameters()}
    assert {name for name, _ in same.named_parameters()} - trained == {"blocks.0.attn.C"}


@pytest.mark.parametrize("format", [PAIRWISE, TRIPLET])
def test_tokens_may_stand_at_other_positions(format: ColumnFormat):
    """A prompt without examples, whose positions are those of the query."""
    model = random_model(format)
    size = len(format.roles)
    x = episodes().x[:, :1]
    prompt = format.context(Episodes(x, x, x, x[:, 0]))
    ids = torch.arange(N * size, (N + 1) * size)[None]
    found = model(prompt.inputs, ids)
    small = LinearTransformer(model.config, D, format, 1, dtype=torch.float64)
    for layer in range(model.n_layers):
        ours, theirs = attention(small, layer), attention(model, layer)
        # The small model divides by its one example, the large one by n.
        for name, scale in (("A", N), ("B", N), ("C", 1)):
            getattr(ours, name).data = getattr(theirs, name).data / scale
        table = torch.zeros_like(ours.D)
        table[size:, size:] = theirs.D[ids[0][:, None], ids[0]]
        ours.D.data = table
    empty = prompt.inputs.new_zeros(BATCH, size, 2 * D)
    expected = small(torch.cat([empty, prompt.inputs], dim=1))
    assert_close(found, expected[:, size:], rtol=1e-12, atol=1e-12)
    each = model(prompt.inputs, ids.expand(BATCH, -1))
    assert_close(each, found, rtol=1e-13, atol=1e-13)


# As part of tvlens


def test_hooks_see_every_layer_and_writing_what_was_read_changes_nothing():
    model, prompt = random_model(), TRIPLET.context(episodes())
    for layer, role in itertools.product(range(4), TRIPLET.roles):
        site = tvl.Site(layer, role)
        value = tvl.read(model, prompt, site)
        stream = model(prompt.inputs, stop_at_layer=layer)
        assert torch.equal(value, stream[:, TRIPLET.tokens(role, N + 1)])
        assert torch.equal(tvl.write(model, prompt, site, value), model(prompt.inputs))


def test_what_is_written_on_the_arrows_reaches_the_answer():
    model, prompt = random_model(), TRIPLET.context(episodes())
    values = torch.randn(BATCH, N + 1, 2 * D, generator=rng(), dtype=torch.float64)
    stream = model(prompt.inputs, stop_at_layer=1).clone()
    stream[:, 1::3] = values
    written = tvl.write(model, prompt, tvl.Site(1, Role.ARROW), values)
    assert torch.equal(written, model(stream, start_at_layer=1))


@pytest.mark.parametrize("weights", AttentionWeights)
def test_many_models_in_one_batch_answer_as_each_by_itself(weights: AttentionWeights):
    models = [random_model(seed=seed, weights=weights) for seed in range(3)]
    inputs = torch.stack([TRIPLET.context(episodes(seed=seed)).inputs for seed in range(3)])
    parameters, _ = torch.func.stack_module_state([*models])

    def loss(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        outputs = torch.func.functional_call(models[0], weights, (inputs,))
        return outputs[:, -1].square().mean()

    losses = torch.func.vmap(loss)(parameters, inputs)
    losses.sum().backward()
    for index, model in enumerate(models):
        alone = model(inputs[index])[:, -1].square().mean()
        alone.backward()
        assert_close(losses[index], alone, rtol=1e-12, atol=0)
        for name, parameter in model.named_parameters():
            gradients = parameters[name].grad
            assert gradients is not None
            assert_close(gradients[index], parameter.grad, rtol=1e-10, atol=1e-10)


def test_a_seed_gives_the_same_weights_in_every_precision():
    one, same, other = (
        LinearTransformer(LinearConfig(), D, TRIPLET, N, generator=rng(seed), dtype=dtype)
        for seed, dtype in ((0, torch.float32), (0, torch.float64), (1, torch.float32))
    )
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name].float())
        assert not torch.equal(weight, other.state_dict()[name])


def test_a_configuration_survives_a_file():
    dropout = TokenDropout(0.5, DropoutKind.OUTPUT)
    config = LinearConfig(3, AttentionWeights.MATRICES, FirstLayer.BLIND, True, dropout)
    assert from_json(to_json(config)) == config


# Tasks


@pytest.mark.parametrize(
    ("task", "exact_from"),
    [
        (MatrixRegression(3), 3),
        (MatrixRegression(3, COVARIANCE), 3),
        (MatrixRegression(2, noise=0.5), None),
        (LowRankRegression(3, rank=1), 3),
        (LowRankRegression(3, COVARIANCE, rank=2), 3),
    ],
    ids=str,
)
def test_a_matrix_regression_keeps_what_tasks_promise(task: tvl.Task, exact_from: int | None):
    check_task(task, exact_from=exact_from)


@pytest.mark.parametrize(
    "task", [MatrixRegression(3, COVARIANCE), LowRankRegression(3, COVARIANCE)]
)
def test_inputs_and_maps_have_the_covariances_they_should(task: MatrixRegression):
    params = task.sample_params(20_000, generator=rng())
    x = task.sample_inputs(params, 1, generator=rng()).squeeze(1)
    W = params.unflatten(1, (3, 3))
    covariance = torch.tensor(COVARIANCE)
    assert_close(x.T @ x / len(x), covariance, rtol=0, atol=0.08)
    rows = torch.einsum("bri,brj->ij", W, W) / (3 * len(W))
    assert_close(rows, torch.linalg.inv(covariance), rtol=0, atol=0.12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_maps_have_the_rank_that_is_asked(rank: int):
    maps = LowRankRegression(3, rank=rank).sample_params(50, generator=rng()).unflatten(1, (3, 3))
    assert (torch.linalg.matrix_rank(maps, rtol=1e-6) == rank).all()


def test_the_oracle_sees_as_many_directions_as_examples():
    """Least squares by hand: the seen part of the query is right, the unseen one is 0."""
    task = MatrixRegression(3, COVARIANCE)
    data = sample_episodes(task, 20, 3, generator=rng())
    values, vectors = torch.linalg.eigh(torch.tensor(COVARIANCE))
    root = vectors @ values.sqrt().diag() @ vectors.T
    white = data.x @ torch.linalg.inv(root)
    seen = white[:, :2].mT @ torch.linalg.pinv(white[:, :2].mT)
    W = data.params.unflatten(1, (3, 3))
    expected = (W @ root @ seen @ white[:, 2:].mT).mT
    found = task.oracle(data.x[:, :2], data.y[:, :2], data.x[:, 2:])
    assert_close(found, expected, rtol=1e-3, atol=1e-3)


# What can not be


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenDropout(0.0), "keep is 0.0"),
        (lambda: TokenDropout(1.2), "above 0 and at most 1"),
        (lambda: LinearConfig(n_layers=0), "n_layers >= 1"),
        (
            lambda: LinearConfig(
                weights=AttentionWeights.UNCONSTRAINED, first_layer=FirstLayer.BLIND
            ),
            "first layer that is blind",
        ),
        (lambda: LinearConfig(1, first_layer=FirstLayer.LIFTS), "at least one layer more"),
        (
            lambda: LinearTransformer(LinearConfig(first_layer=FirstLayer.LIFTS), 2, TRIPLET, 2),
            "triplet demonstrations have it in the upper",
        ),
        (lambda: LinearTransformer(LinearConfig(), 0, TRIPLET, 2), "d >= 1"),
        (lambda: LinearTransformer(LinearConfig(), 2, TRIPLET, 0), "examples >= 1"),
        (lambda: MatrixRegression(0), "d >= 1"),
        (lambda: MatrixRegression(2, ((1.0, 0.0),)), "2 x 2"),
        (lambda: MatrixRegression(2, ((1.0,), (0.0, 1.0))), "2 x 2"),
        (lambda: MatrixRegression(2, ((1.0, 0.5), (0.0, 1.0))), "symmetric"),
        (lambda: MatrixRegression(2, ((1.0, float("nan")), (float("nan"), 1.0))), "finite"),
        (lambda: MatrixRegression(2, ((1.0, 1.0), (1.0, 1.0))), "positive definite"),
        (lambda: MatrixRegression(2, ((1.0, 2.0), (2.0, 1.0))), "positive definite"),
        (lambda: LowRankRegression(2, rank=3), "rank <= d"),
        (lambda: LowRankRegression(2, noise=0.1), "noise = 0"),
        (lambda: PAIRWISE.tokens(Role.ARROW, 2), "no token 'arrow'"),
    ],
)
def test_a_configuration_that_can_not_be_is_refused(make: Any, message: str):
    with pytest.raises(tvl.InputError, match=message):
        make()


def test_prompts_that_do_not_fit_are_refused():
    model, data = random_model(), episodes()
    prompt = TRIPLET.context(data)
    with pytest.raises(tvl.InputError, match="2 x 3"):
        model(prompt.inputs[..., :4])
    with pytest.raises(tvl.InputError, match="positions for 9"):
        model(TRIPLET.context(episodes(examples=3)).inputs)
    with pytest.raises(tvl.InputError, match=r"boundaries 0\.\.3"):
        model(prompt.inputs, start_at_layer=4)
    with pytest.raises(tvl.InputError, match="dropout mask"):
        model(prompt.inputs, kept=torch.ones(2, BATCH, 9, dtype=torch.bool))
    with pytest.raises(tvl.InputError, match="one width, got 3 and 1"):
        TRIPLET.context(Episodes(data.x, data.y[..., :1], data.y[..., :1], data.params))
