"""What is said of weights, of weights that are known."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.planted_linear import (
    PAIRWISE,
    TRIPLET,
    even_mixing,
    fresh_model,
    normal,
    planted_model,
    positions,
)
from tests.transcribed import attention
from tvlens import theory
from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.models import AttentionWeights, FirstLayer, LinearTransformer
from tvlens.models.linear.weights import live_entries
from tvlens.prompts import SINGLE, ColumnFormat
from tvlens.results import LearnedStructure
from tvlens.tasks import MatrixRegression

D, N = 2, 4
TASK = MatrixRegression(D)
MATRICES = AttentionWeights.MATRICES


def structure_of(*models: LinearTransformer, task: MatrixRegression = TASK) -> LearnedStructure:
    return measure_learned_structure(models, task, untrained=[fresh_model(m) for m in models])


def distances(*models: LinearTransformer, task: MatrixRegression = TASK) -> dict[str, float]:
    """Those of the only or first model; in its first layer."""
    found = structure_of(*models, task=task).distances().sel(training="trained").isel(seed=0)
    return {
        str(name): float(each.isel(layer=0) if "layer" in each.dims else each)
        for name, each in found.items()
    }


def test_weights_in_the_set_are_at_no_distance_from_it():
    table, parts = positions(even_mixing(N))
    model = planted_model(table, D, first_layer=FirstLayer.BLIND)
    found = distances(model)
    for name in ("off_structure", "second_singular_value", "query_row", "unequal_examples"):
        assert found[name] < 1e-12
    assert found["mixing"] < 1e-12 and found["off_diagonal"] < 1e-12
    live = live_entries(model, 1)
    assert found["norm"] == pytest.approx(float((table * live).norm()))
    assert found["L4_norm"] == pytest.approx(1.3 * math.sqrt(N) * float(parts.to_arrow.norm()))
    first, second = attention(model, 0), attention(model, 1)
    terms = theory.mixing_terms(parts, a=first.A, b=first.B, readout=second.B * second.C)
    kappa = float((terms.at_x + terms.at_y + 1.3**2 * terms.at_arrows).detach())
    assert found["kappa"] == pytest.approx(kappa * -(N + 1 + D))


def test_entries_outside_of_the_set_are_counted_exactly():
    table, _ = positions(even_mixing(N))
    model = planted_model(table, D)
    size = float((table * live_entries(model, 1)).square().sum())
    off = table.clone()
    off[0, 3] = 0.5  # From x1 to x2.
    found = distances(planted_model(off, D))
    assert found["off_structure"] == pytest.approx(0.5 / math.sqrt(size + 0.25))
    # What goes to the query's x is told apart.
    off = table.clone()
    off[0, 3 * N] = 0.5
    found = distances(planted_model(off, D))
    assert found["off_structure"] == pytest.approx(0.5 / math.sqrt(size + 0.25))
    assert found["off_structure_elsewhere"] < 1e-12
    # One example differs from the others, whose mean the nearest point has.
    off = table.clone()
    off[2, 0] += 0.5
    whole = float((off * live_entries(model, 1)).norm())
    expected = 0.5 * math.sqrt(1 - 1 / N) / whole
    assert distances(planted_model(off, D))["off_structure"] == pytest.approx(expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("format", [PAIRWISE, TRIPLET])
def test_dead_entries_do_not_matter(format: ColumnFormat, causal: bool):
    size = format.n_tokens(N + 1)
    model = planted_model(normal(size, size), D, format, causal=causal)
    before = structure_of(model)
    for layer in (1, 2):
        bias = attention(model, layer - 1).D
        bias.data += 9.0 * normal(size, size, seed=layer) * ~live_entries(model, layer)
    xr.testing.assert_identical(
        structure_of(model).data.sel(training="trained"), before.data.sel(training="trained")
    )
    entries = before.data.D.sel(training="trained", layer=1).values[0]
    if causal:
        assert np.isnan(entries[np.tril_indices(size, -1)]).all()
        data = tvl.sample_episodes(TASK, 8, N + 1, generator=torch.Generator().manual_seed(0))
        prompt = format.context(data)
        answers = [model(prompt.inputs.double(), only=slice(-1, None))]
        for layer in (1, 2):
            attention(model, layer - 1).D.data *= live_entries(model, layer)
        answers += [model(prompt.inputs.double(), only=slice(-1, None))]
        torch.testing.assert_close(*answers)


def test_rows_of_several_lengths_are_told_from_equal_ones():
    lengths = torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)
    mixing = even_mixing(N, 1.0) * torch.cat([lengths, torch.zeros(1)])[:, None]
    found = distances(planted_model(positions(mixing)[0], D))
    squares = lengths.square()
    spread = (squares - squares.mean()).norm() / (math.sqrt(N) * squares.mean())
    assert found["unequal_examples"] == pytest.approx(float(spread))
    result = structure_of(planted_model(positions(mixing)[0], D))
    gram = result.gram().sel(training="trained", layer=1).isel(seed=0).values
    expected = torch.diag(torch.cat([squares, torch.zeros(1)])) / squares.sum()
    np.testing.assert_allclose(gram / np.trace(gram), expected.numpy(), atol=1e-12)


def unstructured_matrices() -> LinearTransformer:
    """Full matrices, C_1 = 0, and a D that moves nothing between query and examples."""
    table = normal(3 * (N + 1), 3 * (N + 1), seed=5)
    table[-3:, :-3] = table[:-3, -3:] = 0
    table[-3:, -3:] *= torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 0]])
    model = planted_model(table, D, weights=MATRICES)
    attention(model, 0).C.data.zero_()
    return model


def test_the_map_of_examples_to_the_answer_is_that_of_the_model():
    model = unstructured_matrices()

    # The answer is linear in each of y, x and the query, so unit vectors say all of it.
    units = torch.eye(N * D, dtype=torch.float64).view(N * D, N, D)
    chosen = torch.cartesian_prod(torch.arange(N * D), torch.arange(N * D), torch.arange(D))
    query = torch.eye(D, dtype=torch.float64)[chosen[:, 2], None]
    x, y = torch.cat([units[chosen[:, 1]], query], 1), torch.cat([units[chosen[:, 0]], query], 1)
    answers = -model(TRIPLET.context(tvl.Episodes(x, y, y, y.flatten(1))).inputs)[:, -1]
    T = answers.detach().view(N, D, N, D, D, D).permute(5, 0, 1, 2, 3, 4)  # out, i, y, j, x, query
    K = torch.einsum("oiojqq->ij", T) / D**2
    found = structure_of(model).data.sel(training="trained").isel(seed=0)
    np.testing.assert_allclose(found.K.values, K.numpy(), atol=1e-12)
    rest = T.square().sum() - D**2 * K.square().sum()
    assert float(found.rest) == pytest.approx(float(rest.sqrt()))
    kappa = K.trace() / N
    same = torch.einsum("ij,oy,xq->oiyjxq", torch.eye(N), *[torch.eye(D)] * 2)
    expected = (T - kappa * same).norm() / (kappa * same).norm()
    assert distances(model)["mixing"] == pytest.approx(float(expected))


def test_with_numbers_for_matrices_the_map_is_that_of_theory():
    size = TRIPLET.n_tokens(N + 1)
    model = planted_model(normal(size, size, seed=4), D)
    first, second = attention(model, 0), attention(model, 1)
    K = theory.mixing_matrix(first.D, TRIPLET, a=first.A, b=first.B, readout=second.B * second.C)
    found = structure_of(model).data.sel(training="trained").isel(seed=0)
    np.testing.assert_allclose(found.K.values, K.detach().numpy(), atol=1e-12)
    assert float(found.rest) < 1e-12


def test_a_turn_of_x_that_the_next_layer_turns_back_is_no_distance():
    """x goes to the places of y, turned by A_1, and the query to the place that is read out."""
    size = TRIPLET.n_tokens(N + 1)
    table = torch.zeros(size, size, dtype=torch.float64)
    for shot in range(N + 1):
        table[3 * shot, 3 * shot + 2] = 1.5
    model = planted_model(table, D, weights=MATRICES)
    turn = torch.linalg.qr(normal(D, D, seed=1)).Q
    eye = torch.eye(D, dtype=torch.float64)
    for layer, (A, B, C) in enumerate([(turn, eye, 0 * eye), (eye, -eye, turn @ turn.T)]):
        for name, weight in zip("ABC", (A, B, C), strict=True):
            getattr(attention(model, layer), name).data = weight
    found = distances(model)
    assert found["A"] > 0.5 and found["product"] < 1e-12 and found["mixing"] < 1e-12
    attention(model, 1).C.data = normal(D, D, seed=2)
    found = distances(model)
    assert found["product"] > 0.1 and found["mixing"] > 0.1


def test_inputs_of_another_covariance_are_whitened():
    covariance = ((2.0, 0.6), (0.6, 0.7))
    inverse = torch.linalg.inv(torch.tensor(covariance, dtype=torch.float64))
    model = planted_model(positions(even_mixing(N))[0], D, weights=MATRICES)
    eye = torch.eye(D, dtype=torch.float64)
    for layer in (0, 1):
        for name, weight in zip("ABC", (1.1 * eye, 0.8 * eye, -0.5 * inverse), strict=True):
            getattr(attention(model, layer), name).data = weight
    found = distances(model, task=MatrixRegression(D, covariance))
    assert max(found[name] for name in ("A", "B", "C", "product", "mixing")) < 1e-12
    found = distances(model)
    assert min(found[name] for name in ("C", "product", "mixing")) > 0.1


def test_scores_are_the_mean_and_the_ends_of_the_seeds_with_their_control():
    size = TRIPLET.n_tokens(N + 1)
    models = [planted_model(normal(size, size, seed=seed), D) for seed in range(3)]
    result = structure_of(*models)
    scores, found = result.scores(), result.distances()
    for training, ending in (("trained", ""), ("untrained", " (untrained)")):
        seeds = found.off_structure.sel(training=training, layer=1).values
        row = scores.loc["off_structure, layer 1" + ending]
        assert tuple(row) == pytest.approx((seeds.mean(), seeds.min(), seeds.max()))
    # The last layer makes no task vectors; nan of it is no row.
    assert "L4_norm, layer 1" in scores.index and "L4_norm, layer 2" not in scores.index
    assert not scores.isna().any(axis=None)


def test_pairs_and_three_layers_have_what_applies_to_them(tmp_path):
    pairs = planted_model(positions(even_mixing(N), format=PAIRWISE)[0], D, PAIRWISE)
    found = distances(pairs)
    assert found["off_structure"] < 1e-12 and "L4_norm" not in found and "mixing" in found
    deep = structure_of(planted_model(positions(even_mixing(N))[0], D, n_layers=3))
    assert "K" not in deep.data
    assert (deep.distances().off_structure.sel(training="trained", layer=[1, 2]) < 1e-12).all()
    deep.save(tmp_path / "deep.nc")
    loaded = LearnedStructure.load(tmp_path / "deep.nc")
    xr.testing.assert_identical(loaded.data, deep.data)


def test_the_figure_shows_every_seed():
    size = TRIPLET.n_tokens(N + 1)
    models = [planted_model(normal(size, size, seed=s), D, n_layers=3) for s in range(2)]
    result = structure_of(*models)
    drawn: Any = tvl.plots.plot_learned_structure(result)
    assert len(drawn.data) == 2 * 4 and [frame.name for frame in drawn.frames] == ["1", "2"]
    data = result.data.sel(training="trained", layer=1)
    for row in range(2):
        D_map, nearest, rest, gram = drawn.data[4 * row : 4 * row + 4]
        np.testing.assert_array_equal(D_map.z, data.D[row])
        np.testing.assert_array_equal(np.add(nearest.z, rest.z), (data.nearest + rest.z)[row])
        assert np.diagonal(gram.z)[:-1].mean() == pytest.approx(1)
    dots: Any = tvl.plots.plot_structure_distances({"a": result, "b": result})
    trained = next(trace for trace in dots.data if trace.name == "trained")
    found = result.distances().off_structure.sel(training="trained", layer=1).values
    np.testing.assert_array_equal(trained.x, [*found, *found])


def test_what_cannot_be_compared_is_refused():
    model = planted_model(positions(even_mixing(N))[0], D)
    deep = planted_model(positions(even_mixing(N))[0], D, n_layers=3)
    with pytest.raises(tvl.InputError, match="one kind"):
        measure_learned_structure([model, deep], TASK, untrained=[])
    with pytest.raises(tvl.InputError, match="one for each"):
        measure_learned_structure([model], TASK, untrained=[])
    single = LinearTransformer(model.config, D, SINGLE, N)
    with pytest.raises(tvl.InputError, match="single"):
        structure_of(single)
