"""What theory says of linear transformers, against linear transformers."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Generator, Tensor
from torch.testing import assert_close

import tvlens as tvl
from tests.exact_means import D, N, gaussian_nodes, orbit
from tests.transcribed import attention
from tvlens import theory
from tvlens.models import (
    AttentionWeights,
    DropoutKind,
    FirstLayer,
    LinearConfig,
    LinearTransformer,
    TokenDropout,
)
from tvlens.prompts import INSEPARABLE, PAIRWISE, SINGLE, TRIPLET, ColumnFormat, Episodes
from tvlens.tasks import MatrixRegression, sample_episodes

COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.7]], dtype=torch.float64)

each_format = pytest.mark.parametrize("format", [PAIRWISE, TRIPLET])


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=rng(seed), dtype=torch.float64)


# Points of the structured sets


def random_positions(mixing: Tensor, seed: int = 0) -> theory.StructuredPositions:
    """A point of S_P with the given L4 and everything else random."""
    example, query, to_arrow = (
        normal(*shape, seed=seed + index) for index, shape in enumerate([(2, 2), (2, 2), (2,)])
    )
    return theory.StructuredPositions(example, query, normal(1, seed=seed + 3)[0], mixing, to_arrow)


def structured_model(
    format: ColumnFormat,
    n_layers: int,
    mixing: Tensor | None = None,
    covariance: Tensor | None = None,
) -> LinearTransformer:
    """A model with full matrices at a random point of the sets; the first layer has L4 = mixing."""
    config = LinearConfig(n_layers, AttentionWeights.MATRICES, first_layer(format))
    model = LinearTransformer(config, D, format, N, dtype=torch.float64)
    identity = torch.eye(D, dtype=torch.float64)
    precision = identity if covariance is None else torch.linalg.inv(covariance)
    for layer in range(n_layers):
        attn = attention(model, layer)
        a, b, c = normal(3, seed=50 + layer, scale=0.7)
        none = torch.zeros(N + 1, N + 1, dtype=torch.float64)
        lead = none if mixing is None or layer else mixing
        table = random_positions(lead, seed=10 * layer).matrix()
        if format != TRIPLET:
            ends = torch.arange(len(table)) % 3 != 1
            table = table[ends][:, ends]
        values = {"A": a * identity, "B": b * identity, "C": c * precision, "D": table}
        for name in weight_names(model, layer):
            getattr(attn, name).data = values[name]
    return model


def first_layer(format: ColumnFormat) -> FirstLayer:
    """That of the theorem about a format: 7 for inseparable pairs, 1 or 2 else."""
    return FirstLayer.LIFTS if format == INSEPARABLE else FirstLayer.FULL


def weight_names(model: LinearTransformer, layer: int) -> str:
    """The weights of a layer, counted from 0."""
    lifts = layer == 0 and model.config.first_layer is FirstLayer.LIFTS
    return "AD" if lifts else "ABCD"


def risk(model: LinearTransformer, data: Episodes) -> Tensor:
    """Mean squared error of the predictions for the queries."""
    prompt = model.format.context(data)
    prediction = model(prompt.inputs, prompt.position_ids, only=slice(-1, None))[:, 0]
    return (prediction - data.target[:, -1]).square().sum(-1).mean()


def gradients(model: LinearTransformer, data: Episodes) -> list[dict[str, Tensor]]:
    """Gradient of the risk by layer and name."""
    places = [(k, name) for k in range(model.n_layers) for name in weight_names(model, k)]
    weights = [getattr(attention(model, layer), name) for layer, name in places]
    found = torch.autograd.grad(risk(model, data), weights)
    by_layer: list[dict[str, Tensor]] = [{} for _ in range(model.n_layers)]
    for (layer, name), gradient in zip(places, found, strict=True):
        by_layer[layer][name] = gradient
    return by_layer


def distance(gradient: Tensor, projected: Tensor) -> float:
    """How far a gradient is from a set, in units of itself; 0 if it is but rounding."""
    norm = float(gradient.norm())
    return float((gradient - projected).norm()) / norm if norm > 1e-15 else 0.0


@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("format", [PAIRWISE, TRIPLET, INSEPARABLE])
def test_the_gradient_stays_in_the_structured_set(format: ColumnFormat, n_layers: int):
    """Theorems 1, 2 and 7: with L4 = 0, at every point and for any depth."""
    found = gradients(structured_model(format, n_layers), orbit())
    for gradient in found:
        table = gradient.pop("D")
        assert distance(table, theory.project_exchangeable(table, format)) < 1e-12
        for matrix in gradient.values():
            assert distance(matrix, theory.project_identity(matrix)) < 1e-12
        if gradient is found[0]:
            assert all(each.norm() > 1e-3 for each in (table, *gradient.values()))


def test_other_inputs_move_b_of_inseparable_pairs_out_of_its_set_unless_no_x_is_answered():
    """Theorem 7 for another covariance than the identity: tokens of x add x to the answer, and
    nothing makes the mean of x x^T a multiple of the identity. Where they do not, it is tangent.
    """
    values, vectors = torch.linalg.eigh(COVARIANCE)
    data = orbit(root=vectors @ values.sqrt().diag() @ vectors.T)
    model = structured_model(INSEPARABLE, 3, covariance=COVARIANCE)

    def largest() -> float:
        found = [gradient["B"] for gradient in gradients(model, data)[1:]]
        return max(distance(each, theory.project_identity(each)) for each in found)

    assert largest() > 0.01
    for layer in range(3):
        D = attention(model, layer).D.data
        D[:, 0::2] = 0  # Nothing comes onto x,
        if layer:
            D[0::2] = 0  # and what is below goes nowhere.
    assert largest() < 1e-12


@each_format
def test_a_minimum_within_the_set_is_a_critical_point_of_all_models(format: ColumnFormat):
    model, data = structured_model(format, 2), orbit(range(4))
    layers = [attention(model, layer) for layer in (0, 1)]
    options = {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-8, "tolerance_change": 1e-14}
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, **options)

    def projected(weights: Tensor, name: str) -> Tensor:
        if name == "D":
            return theory.project_exchangeable(weights, format)
        return theory.project_identity(weights)

    def closure() -> Tensor:
        # With as few draws as these, rounding would grow into a way out of the set.
        for attn, name in itertools.product(layers, "ABCD"):
            weights = getattr(attn, name)
            weights.data = projected(weights.data, name)
        optimizer.zero_grad()
        loss = risk(model, data)
        loss.backward()
        for attn, name in itertools.product(layers, "ABCD"):
            weights = getattr(attn, name)
            weights.grad = projected(weights.grad, name)
        return loss.detach()

    before = closure()
    optimizer.step(closure)
    assert closure() < 0.5 * before
    for gradient in gradients(model, data):
        assert max(float(each.norm()) for each in gradient.values()) < 1e-6


def test_for_whitened_inputs_the_gradient_of_c_is_a_multiple_of_the_covariance():
    """So a minimiser in S_Sigma is a critical point, but steepest descent does not stay in it."""
    values, vectors = torch.linalg.eigh(COVARIANCE)
    root = vectors @ values.sqrt().diag() @ vectors.T
    model = structured_model(PAIRWISE, 2, covariance=COVARIANCE)
    for gradient in gradients(model, orbit(root=root)):
        for name in "AB":
            assert distance(gradient[name], theory.project_identity(gradient[name])) < 1e-12
        table, c = gradient["D"], gradient["C"]
        assert distance(table, theory.project_exchangeable(table, PAIRWISE)) < 1e-12
        assert distance(c, theory.project_precision(c, torch.linalg.inv(COVARIANCE))) < 1e-12
        assert distance(c, theory.project_precision(c, COVARIANCE)) > 0.1


def orthogonal_mixing(seed: int = 7) -> Tensor:
    """A point of S_U: n orthogonal rows of one length, and an empty one for the query."""
    mixing = 1.3 * torch.linalg.qr(normal(N + 1, N + 1, seed=seed)).Q
    mixing[-1] = 0
    return mixing


def test_with_two_layers_the_gradient_at_task_vectors_is_along_them():
    """Theorem 2 with L4 != 0 holds at orthogonal rows of equal length."""
    mixing = orthogonal_mixing()
    first, second = gradients(structured_model(TRIPLET, 2, mixing), orbit())
    assert distance(first["D"], theory.project_task_vectors(first["D"])) < 1e-12
    (size, rest), _, found = theory.task_vector_part(first["D"])
    assert size > 1e-6 and rest < 1e-12 * size
    assert_close((found * mixing).sum().abs(), found.norm() * mixing.norm(), rtol=1e-12, atol=0)
    assert second["D"].norm() < 1e-12 * first["D"].norm()


def test_with_two_layers_unequal_examples_move_the_gradient_out_of_the_set():
    """Theorem 2 does not hold at every L4, as its statement says."""
    first, _ = gradients(structured_model(TRIPLET, 2, normal(N + 1, N + 1, seed=8)), orbit())
    assert distance(first["D"], theory.project_task_vectors(first["D"])) > 1e-5


def test_with_three_layers_the_gradient_leaves_the_set_by_rotations_of_the_arrows():
    """Theorem 2 fails from L = 3 on: arrows may be rotated among themselves, and L4 with them."""
    mixing = orthogonal_mixing()
    _, second, _ = gradients(structured_model(TRIPLET, 3, mixing), orbit())
    table = second["D"]
    off = table - theory.project_task_vectors(table)
    assert off.norm() > 1e-3 * table.norm()
    row_space = mixing.mT @ mixing / 1.3**2
    within = [row_space, torch.eye(N + 1, dtype=torch.float64) - row_space]
    arrows = table[1::3, 1::3]
    parts = [((arrows * each).sum() / each.trace()) * each for each in within]
    inside = parts[0] + parts[1]
    assert distance(arrows, inside) < 1e-11
    for end in (0, 2):
        returned = off[1::3, end::3]
        along = (returned * mixing.mT).sum() / mixing.square().sum() * mixing.mT
        assert distance(returned, along) < 1e-11
        off[1::3, end::3] = 0
    off[1::3, 1::3] = 0
    assert off.norm() < 1e-12 * table.norm()


# Projections


@each_format
def test_projections_are_idempotent_and_leave_an_orthogonal_rest(format: ColumnFormat):
    size = format.n_tokens(3 + 1)
    first, second = normal(size, size, seed=1), normal(size, size, seed=2)
    project = theory.project_exchangeable
    assert_close(project(project(first, format), format), project(first, format))
    rest = first - project(first, format)
    assert abs(float((rest * project(second, format)).sum())) < 1e-12
    rest = first - theory.project_identity(first)
    assert abs(float(rest.trace())) < 1e-12


def test_the_projection_on_task_vectors_is_idempotent_and_keeps_the_set():
    table = normal(12, 12, seed=1)
    once = theory.project_task_vectors(table)
    assert_close(theory.project_task_vectors(once), once)
    inside = random_positions(normal(4, 4, seed=3))
    assert_close(theory.project_task_vectors(inside.matrix()), inside.matrix())
    _, to_arrow, mixing = theory.task_vector_part(inside.matrix())
    expected = torch.kron(inside.mixing, inside.to_arrow[:, None])
    assert_close(torch.kron(mixing, to_arrow[:, None]), expected)
    # No other L5 comes nearer with its best L4.
    nearest = (table - once).norm()
    for angle in torch.linspace(0, math.pi, 19, dtype=torch.float64):
        other = torch.stack([angle.cos(), angle.sin()])
        part = table[:, 1::3].unflatten(0, (4, 3))[:, 0::2]
        best = torch.einsum("isj,s->ij", part, other)
        nearer = once.clone()
        nearer.unflatten(0, (4, 3))[:, 0::2, 1::3] = best[:, None] * other[:, None]
        assert (table - nearer).norm() >= nearest - 1e-12


def test_the_projection_on_precisions_is_that_of_whitened_matrices():
    values, vectors = torch.linalg.eigh(COVARIANCE)
    root = vectors @ values.sqrt().diag() @ vectors.T
    matrix, inverse = normal(D, D), torch.linalg.inv(root)
    white = theory.project_identity(root @ matrix @ root)
    projected = theory.project_precision(matrix, COVARIANCE)
    assert_close(projected, inverse @ white @ inverse)
    assert_close(theory.project_precision(projected, COVARIANCE), projected)


def test_a_structured_matrix_has_its_entries_where_the_paper_draws_them():
    L1, L2, L5 = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[5.0, 6], [7, 8]]), [9.0, 10.0]
    mixing = torch.tensor([[1.0, -1], [0.5, 0.25]])
    found = theory.StructuredPositions(L1, L2, torch.tensor(11.0), mixing, torch.tensor(L5))
    expected = [
        [1, 9.0, 2, 0, -9.0, 0],
        [0, 11, 0, 0, 0, 0],
        [3, 10.0, 4, 0, -10.0, 0],
        [0, 4.5, 0, 5, 2.25, 6],
        [0, 0, 0, 0, 11, 0],
        [0, 5.0, 0, 7, 2.5, 8],
    ]
    assert_close(found.matrix(), torch.tensor(expected))


@pytest.mark.parametrize(
    ("format", "n_layers"),
    [(PAIRWISE, 1), *itertools.product([PAIRWISE, TRIPLET, INSEPARABLE], [2, 3]), (TRIPLET, 1)],
)
def test_live_positions_are_those_with_a_gradient(format: ColumnFormat, n_layers: int):
    config = LinearConfig(n_layers, AttentionWeights.MATRICES, first_layer(format), init_std=0.5)
    model = LinearTransformer(config, D, format, N, generator=rng(), dtype=torch.float64)
    data = sample_episodes(MatrixRegression(D), 20, N + 1, generator=rng())
    data = Episodes(data.x.double(), data.y.double(), data.target.double(), data.params.double())
    found = gradients(model, data)
    for layer, gradient in enumerate(found, start=1):
        live = theory.live_positions(format, N, layer, n_layers)
        assert torch.equal(gradient["D"] != 0, live)
    assert not found[-1]["A"].any()


# Risks


def exact_risk(model: LinearTransformer, data: Episodes, weights: Tensor) -> Tensor:
    """Risk of a model, without sampling."""
    prediction = model(model.format.context(data).inputs, only=slice(-1, None))[:, 0]
    return weights @ (prediction - data.target[:, -1]).square().sum(-1).detach()


def two_layers(format: ColumnFormat, d: int, table: Tensor) -> LinearTransformer:
    """Two layers with C_1 = 0 and D_2 = 0, everything else random; the first has the given D."""
    examples = len(table) // len(format.roles) - 1
    config = LinearConfig(dropout=TokenDropout(0.7, DropoutKind.INPUT))
    model = LinearTransformer(config, d, format, examples, dtype=torch.float64)
    first, second = (attention(model, layer) for layer in (0, 1))
    with torch.no_grad():
        for weight, value in zip(
            (first.A, first.B, second.A, second.B, second.C), normal(5, seed=4), strict=True
        ):
            weight.copy_(value)
        first.C.zero_()
        second.D.zero_()
        first.D.copy_(table)
    return model


def scalars(model: LinearTransformer) -> dict[str, Tensor]:
    first, second = (attention(model, layer) for layer in (0, 1))
    values = {"a": first.A, "b": first.B, "readout": second.B * second.C}
    return {name: value.detach() for name, value in values.items()}


@pytest.mark.parametrize(("d", "examples"), [(1, 3), (2, 2), (3, 1)])
def test_the_risk_of_one_layer(d: int, examples: int):
    config = LinearConfig(n_layers=1)
    single = SINGLE
    model = LinearTransformer(config, d, single, examples, dtype=torch.float64)
    data, weights = gaussian_nodes(d, examples)
    best = theory.optimal_mixing(examples, d) * examples
    for k in (0.0, best, 0.8, -2.0):
        for name, value in (("A", 0.3), ("B", 2.0), ("C", k / 2)):
            torch.nn.init.constant_(getattr(attention(model, 0), name), value)
        expected = d**2 * (1 + 2 * k + k**2 * (examples + 1 + d) / examples)
        K = k / examples * torch.eye(examples, dtype=torch.float64)
        assert_close(theory.icl_risk(K, d), torch.tensor(expected, dtype=torch.float64))
        assert_close(float(exact_risk(model, data, weights)), expected, rtol=1e-12, atol=0)
    expected = d**2 * (d + 1) / (examples + d + 1)
    K = theory.optimal_mixing(examples, d) * torch.eye(examples, dtype=torch.float64)
    assert_close(float(theory.icl_risk(K, d)), expected, rtol=1e-12, atol=0)
    assert theory.optimal_risk(examples, d) == expected


@pytest.mark.parametrize(("d", "examples"), [(1, 3), (2, 2), (2, 3), (3, 1)])
@each_format
def test_two_layers_answer_by_the_mixing_matrix(format: ColumnFormat, d: int, examples: int):
    """Any D among the examples, no structure assumed; and the closed form of its risk."""
    size, query = format.n_tokens(examples + 1), len(format.roles)
    table = normal(size, size, seed=5)
    table[:-query, -query:] = 0
    table[-query:, :-query] = 0
    table[-query:, -query:-1] = 0
    model = two_layers(format, d, table)
    K = theory.mixing_matrix(table, format, **scalars(model))
    data, weights = gaussian_nodes(d, examples)
    X, Y = data.x[:, :-1].mT, data.y[:, :-1].mT
    expected = -(Y @ K @ X.mT @ data.x[:, -1:].mT).squeeze(-1)
    found = model(format.context(data).inputs)[:, -1]
    assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert_close(exact_risk(model, data, weights), theory.icl_risk(K, d), rtol=1e-11, atol=0)


def test_the_mixing_terms_are_those_of_the_mixing_matrix():
    mixing = normal(4, 4, seed=6)
    mixing[-1] = 0
    positions = random_positions(mixing)
    model = two_layers(TRIPLET, 2, positions.matrix())
    terms = theory.mixing_terms(positions, **scalars(model))
    M = mixing[:-1]
    K = (terms.at_x + terms.at_y) * torch.eye(3, dtype=torch.float64) + terms.at_arrows * M @ M.T
    assert_close(K, theory.mixing_matrix(positions.matrix(), TRIPLET, **scalars(model)))


@pytest.mark.parametrize(("d", "examples"), [(2, 2), (3, 4)])
def test_nothing_beats_the_best_multiple_of_the_identity(d: int, examples: int):
    """And so task vectors, which only add to it, do not lower the risk (Proposition 3)."""
    K = theory.optimal_mixing(examples, d) * torch.eye(examples, dtype=torch.float64)
    assert_close(float(theory.icl_risk(K, d)), theory.optimal_risk(examples, d))
    slope = torch.func.grad(theory.icl_risk)(K, d)
    assert_close(slope, torch.zeros_like(slope))
    # The risk is quadratic, so what a change adds is its curvature: never less than this.
    change = normal(examples, examples)
    added = theory.icl_risk(K + change, d) - theory.icl_risk(K, d)
    assert added >= d**2 * (d - 1) * change.square().sum()


def test_what_goes_from_the_query_to_the_arrows_only_adds_to_the_risk():
    """Last row of L4, Proposition 3."""
    data, weights = gaussian_nodes(2, 2)
    risks = []
    for size in (0.0, 0.5, 1.0):
        mixing = normal(3, 3, seed=6)
        mixing[-1] *= size
        model = two_layers(TRIPLET, 2, random_positions(mixing).matrix())
        risks.append(float(exact_risk(model, data, weights)))
    assert risks[0] < risks[1] < risks[2]
    # What is added is a square.
    assert_close(risks[2] - risks[0], 4 * (risks[1] - risks[0]), rtol=1e-9, atol=0)


@pytest.mark.parametrize("keep", [0.3, 0.8, 1.0])
def test_the_risk_with_dropout_is_the_mean_over_all_masks(keep: float):
    """Proposition 5. For each mask the model's K is read off prompts of unit vectors."""
    positions = random_positions(torch.cat([normal(2, 3, seed=6), torch.zeros(1, 3)]))
    model = two_layers(TRIPLET, 2, positions.matrix())
    # In the first layer arrows are empty, and dropping them changes nothing.
    dropped = [[0, 0], [0, 2], [0, 3], [0, 5], *([1, place] for place in (0, 1, 2, 3, 4, 5, 7))]
    masks = torch.tensor(list(itertools.product([True, False], repeat=len(dropped))))
    kept = torch.ones(2, len(masks), 9, dtype=torch.bool)
    for mask, (layer, place) in zip(masks.T, dropped, strict=True):
        kept[layer, :, place] = mask
    unit = torch.eye(2, dtype=torch.float64)
    columns = []
    for query in unit:
        x = torch.cat([unit, query[None]]).expand(len(masks), -1, -1)
        prompt = TRIPLET.context(Episodes(x, x, x, x[:, 0]))
        columns.append(-model(prompt.inputs, kept=kept)[:, -1])
    K = torch.stack(columns, dim=-1).detach()
    chance = (keep ** masks.double() * (1 - keep) ** (~masks).double()).prod(-1)
    terms = theory.mixing_terms(positions, **scalars(model))
    for d in (1, 2, 5):
        expected = chance @ torch.func.vmap(lambda each, d=d: theory.icl_risk(each, d))(K)
        found = theory.dropout_risk(terms, positions.mixing[:-1], d, keep)
        assert_close(found, expected, rtol=1e-11, atol=0)


def test_task_vectors_lower_the_risk_only_where_tokens_drop_out():
    n, d = 5, 4
    zero = torch.tensor(0.0, dtype=torch.float64)
    mixing = torch.eye(n, n + 1, dtype=torch.float64)

    def risk(pair: Tensor, arrows: Tensor, keep: float) -> Tensor:
        terms = theory.MixingTerms(pair / 2, pair / 2, arrows)
        return theory.dropout_risk(terms, mixing, d, keep)

    for keep in (0.6, 0.8, 1.0):
        slope = torch.func.grad(risk)(zero, zero, keep)
        curvature = torch.func.grad(torch.func.grad(risk))(zero, zero, keep)
        best = -slope / curvature
        along = torch.func.grad(risk, argnums=1)(best, zero, keep)
        # Where examples answer alone as well as they can, arrows that answer likewise help.
        assert (abs(along) < 1e-9) if keep == 1 else (best < 0 and along > 1)


def test_a_keep_that_is_no_probability_is_refused():
    terms = theory.MixingTerms(*normal(3))
    for keep in (0.0, 1.5):
        with pytest.raises(tvl.InputError, match="above 0 and at most 1"):
            theory.dropout_risk(terms, normal(2, 3), 2, keep)


# Smaller statements


@pytest.mark.parametrize("d", [1, 3])
def test_a_rank_one_map_swaps_only_what_is_equal_or_opposite(d: int):
    """Proposition 4, both ways."""
    x = normal(d, seed=1)
    for y in (x, -x):
        W = theory.rank_one_swap(x, y)
        assert W is not None and torch.linalg.matrix_rank(W) == 1
        assert_close(W @ x, y)
        assert_close(W @ y, x)
    assert theory.rank_one_swap(x, 2 * x) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("opposite", [False, True])
def test_no_rank_one_map_comes_near_to_swapping_others(seed: int, opposite: bool):
    """Proposition 4, the other way: searched for among all a b^T, the error stays."""
    x, y = normal(2, 3, seed=seed)
    other = -x if opposite else x

    def least_error(y: Tensor) -> float:
        pairs, targets = torch.stack([x, y], 1), torch.stack([y, x], 1)

        def error(values: np.ndarray) -> tuple[float, np.ndarray]:
            ends = torch.tensor(values, requires_grad=True)
            a, b = ends.view(2, 3)
            error = (torch.outer(a, b) @ pairs - targets).square().sum()
            (slope,) = torch.autograd.grad(error, ends)
            return float(error.detach()), slope.numpy()

        starts = normal(8, 6, seed=seed + 10)
        found = [optimize.minimize(error, each.numpy(), jac=True, tol=1e-10) for each in starts]
        return float(min(each.fun for each in found))

    # The images of independent x and y under a b^T can be any matrix of rank one: what is left of
    # [y x] is its second singular value.
    left = torch.linalg.svdvals(torch.stack([y, x], 1))[1].square()
    assert least_error(y) == pytest.approx(float(left), rel=1e-6)
    assert left > 0.01 * (x.square().sum() + y.square().sum())
    assert least_error(other) < 1e-12


@pytest.mark.parametrize("n_layers", [1, 3])
def test_two_heads_do_without_the_token_at_the_end(n_layers: int):
    """Proposition 6."""
    width, tokens = 4, 5
    Z = normal(width, tokens, seed=1)
    with_end = torch.cat([Z, torch.zeros(width, 1)], dim=1)
    without = torch.cat([Z, torch.zeros(width, tokens)])
    seen = torch.eye(tokens + 1, dtype=torch.float64)
    seen[-1, -1] = 0
    for layer in range(n_layers):
        V, Q = normal(2, width, width, seed=2 + layer, scale=0.3)
        P = normal(tokens + 1, tokens + 1, seed=9 + layer, scale=0.3)
        with_end = with_end + V @ with_end @ seen @ (with_end.T @ Q @ with_end + P)
        heads = theory.end_of_sequence_heads(V, Q, P)
        without = without + sum(
            (head.V @ without @ (without.T @ head.Q @ without + head.P) for head in heads),
            start=torch.zeros_like(without),
        )
    scale = float(with_end.abs().max())
    assert_close(without[:width], with_end[:, :-1], rtol=0, atol=1e-13 * scale)
    assert_close(without[width:, -1], with_end[:, -1], rtol=0, atol=1e-13 * scale)


def test_what_has_no_structure_is_refused():
    single = SINGLE
    with pytest.raises(tvl.InputError, match="D of 5 positions does not fit pairwise"):
        theory.project_exchangeable(normal(5, 5), PAIRWISE)
    with pytest.raises(tvl.InputError, match="separate ones for x and y"):
        theory.project_exchangeable(normal(4, 4), single)
    for format, layer, depth in (
        (single, 1, 2),
        (PAIRWISE, 0, 2),
        (PAIRWISE, 3, 2),
        (INSEPARABLE, 1, 1),
    ):
        with pytest.raises(tvl.InputError, match="There is no D of block"):
            theory.live_positions(format, 2, layer, depth)
