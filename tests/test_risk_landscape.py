"""Landscapes around weights that are known, against closed forms and plain loops."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import tvlens as tvl
from tests.exact_means import gaussian_nodes, orbit
from tests.planted_linear import PAIRWISE, TRIPLET, even_mixing, normal, planted_model, positions
from tests.transcribed import attention
from tvlens import theory
from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.models import (
    AttentionWeights,
    DropoutKind,
    FirstLayer,
    LinearTransformer,
    TokenDropout,
)
from tvlens.models.linear.directions import directions, structured_parts
from tvlens.models.linear.weights import live_bias, live_entries, nearest_structure
from tvlens.prompts import ColumnFormat
from tvlens.results import RiskLandscape
from tvlens.tasks import MatrixRegression

D, N = 2, 2
TASK = MatrixRegression(D)
STEPS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)

each_format = pytest.mark.parametrize("format", [PAIRWISE, TRIPLET])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def episodes(batch: int = 40, shots: int = N + 1) -> tvl.Episodes:
    drawn = tvl.sample_episodes(TASK, batch, shots, generator=rng())
    return tvl.Episodes(*(each.double() for each in (drawn.x, drawn.y, drawn.target, drawn.params)))


def structured(format: ColumnFormat = TRIPLET, **options: Any) -> LinearTransformer:
    """At a random point of the sets, D of the last layer 0."""
    return planted_model(positions(even_mixing(N), format=format)[0], D, format, **options)


def landscape(
    *models: LinearTransformer,
    data: tvl.Episodes | None = None,
    steps: Sequence[float] = STEPS,
    draws: int = 2,
) -> RiskLandscape:
    data = episodes() if data is None else data
    return measure_risk_landscape(models, TASK, data, generator=rng(), steps=steps, draws=draws)


@each_format
def test_along_the_set_and_along_symmetries_the_risk_is_the_closed_form(
    format: ColumnFormat,
):
    """By quadrature, so exactly; random directions off the set have a risk of their own."""
    data, weights = gaussian_nodes(D, N)
    found = landscape(structured(format, first_layer=FirstLayer.BLIND), data=data).data.isel(seed=0)
    risk = (found.error.sel(tokens="all") * xr.DataArray(weights.numpy(), dims="episode")).sum(
        "episode"
    )
    known = found.kind.isin(["along", "flat"])
    assert {"example", "query", "read-out"} < set(found.part.values[known])
    np.testing.assert_allclose(risk[known], found.closed_form[known], rtol=1e-9)
    off = abs(risk - found.closed_form)[~known]
    assert (off.max("step") > 1e-3).all() and off.sel(step=0).max() < 1e-9


@pytest.mark.parametrize("n_layers", [2, 3])
@each_format
def test_flat_directions_are_flat_for_any_weights(format: ColumnFormat, n_layers: int):
    size = format.n_tokens(N + 1)
    model = planted_model(normal(size, size, seed=2), D, format, n_layers=n_layers)
    attention(model, n_layers - 1).D.data = normal(size, size, seed=3)
    found = landscape(model).data
    flat = found.sel(direction=found.kind.values == "flat")
    assert ("arrows turned" in flat.part.values) == (format == TRIPLET)
    there = flat.error.sel(step=0, drop=True)
    scale = float(there.max())
    np.testing.assert_allclose(flat.error, there.broadcast_like(flat.error), atol=1e-10 * scale)
    assert (flat.distance.sel(step=[-1, 1]) > 0.1).all()
    near = found.sel(direction=found.kind.values == "nearly flat").error
    assert (near.direction.size == 1) == (n_layers == 2)
    assert (abs(near - near.sel(step=0)).max("episode").sel(step=[-1, 1]) > 1e-3).all()


@each_format
def test_entries_that_cancel_leave_a_model_with_a_blind_first_layer_as_it_is(
    format: ColumnFormat,
):
    size = format.n_tokens(N + 1)
    model = planted_model(normal(size, size, seed=2), D, format, first_layer=FirstLayer.BLIND)
    attention(model, 1).D.data = normal(size, size, seed=3)
    found = landscape(model).data
    one = found.isel(direction=found.part.values == "cancelling entries")
    assert one.kind.values.tolist() == ["flat"]
    there = one.error.sel(step=0)
    np.testing.assert_allclose(one.error, there.broadcast_like(one.error), rtol=1e-8)
    # And they move off the set.
    ways = directions(model, torch.tensor([1.0]), 0, generator=rng())
    (moved,) = (w.weights["blocks.0.attn.D"][0] for w in ways if w.part == "cancelling entries")
    change = (moved - attention(model, 0).D.detach()) * live_entries(model, 1)
    tangent = theory.project_tangent(change, live_bias(model, 1), format)
    assert (change - tangent).norm() > 0.1 * change.norm()


def test_every_error_is_that_of_a_model_with_these_weights():
    dropout = TokenDropout(0.7, DropoutKind.INPUT)
    model, data = structured(dropout=dropout), episodes()
    result = landscape(model, data=data)
    kept = model.sample_kept(data.batch, generator=(generator := rng()))
    ways = list(directions(model, torch.tensor(STEPS), 2, generator=generator))
    assert [way.part for way in ways] == result.data.part.values.tolist()
    prompt = TRIPLET.context(data)
    for index, way in enumerate(ways):
        other = copy.deepcopy(model)
        for name, weights in way.weights.items():
            other.get_parameter(name).data = weights[1]
        for tokens, mask in (("all", None), ("dropped", kept)):
            answers = other(prompt.inputs, kept=mask)[:, -1]
            error = TASK.error(answers, data.target[:, -1]).detach().numpy()
            found = result.data.error.isel(seed=0, direction=index, step=1).sel(tokens=tokens)
            np.testing.assert_allclose(found, error, rtol=1e-9, atol=1e-12)


@each_format
def test_directions_are_what_they_are_called(format: ColumnFormat):
    model = structured(format)
    live = live_entries(model, 1)
    table = live_bias(model, 1)
    length = nearest_structure(table, format).norm()
    for way in directions(model, torch.tensor([0.0, 1.0]), 3, generator=rng()):
        if way.kind not in ("along", "across") or way.part == "read-out":
            continue
        stay, moved = way.weights["blocks.0.attn.D"]
        change = moved - stay
        torch.testing.assert_close(change.norm(), length)
        tangent = theory.project_tangent(change, table, format)
        if way.kind == "along":
            torch.testing.assert_close(tangent, change)
        else:
            assert tangent.norm() < 1e-12 * length
            assert not change[~live].any()


@each_format
def test_the_parts_of_a_point_are_what_it_was_made_of(format: ColumnFormat):
    table, made = positions(even_mixing(N), format=format)
    parts = structured_parts(table, format)
    torch.testing.assert_close(sum(parts.values()), table)
    none, empty = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    zero, mixing = torch.zeros((), dtype=torch.float64), torch.zeros_like(made.mixing)
    Structured = theory.StructuredPositions
    expected = {
        "example": Structured(made.example, none, zero, mixing, empty),
        "query": Structured(none, made.query, zero, mixing, empty),
        "arrows": Structured(none, none, made.arrow, mixing, empty),
        "task vectors": Structured(none, none, zero, made.mixing, made.to_arrow),
    }
    ends = torch.arange(3 * (N + 1)) % 3 != 1 if format == PAIRWISE else slice(None)
    assert set(parts) == (set(expected) if format == TRIPLET else {"example", "query"})
    for name, part in parts.items():
        torch.testing.assert_close(part, expected[name].matrix()[ends][:, ends])


@each_format
def test_tangents_are_the_derivative_of_the_projection(format: ColumnFormat):
    table, _ = positions(normal(N + 1, N + 1, seed=9), format=format)
    change, h = normal(*table.shape, seed=4), 1e-5
    ends = [nearest_structure(table + sign * h * change, format) for sign in (1, -1)]
    tangent = theory.project_tangent(change, table, format)
    torch.testing.assert_close(tangent, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(theory.project_tangent(tangent, table, format), tangent)
    assert abs(float(((change - tangent) * tangent).sum())) < 1e-12


def plain_gradient(model: LinearTransformer, data: tvl.Episodes) -> Tensor:
    answers = model(model.format.context(data).inputs)[:, -1]
    error = TASK.error(answers, data.target[:, -1]).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(error, list(model.parameters()))])


def test_gradients_are_split_into_orthogonal_parts():
    size = TRIPLET.n_tokens(N + 1)
    model, data = planted_model(normal(size, size, seed=2), D), episodes(48)
    found = landscape(model, data=data).data.gradient_products.isel(seed=0).sel(tokens="all")
    whole = plain_gradient(model, data).square().sum()
    parts = found.sel(point="model").mean(("batch", "batch_"))
    assert float(parts.sum()) == pytest.approx(float(whole))
    other = copy.deepcopy(model)
    for layer in (1, 2):
        attention(other, layer - 1).D.data = nearest_structure(live_bias(model, layer), TRIPLET)
    whole = plain_gradient(other, data).square().sum()
    parts = found.sel(point="nearest").mean(("batch", "batch_"))
    assert float(parts.sum()) == pytest.approx(float(whole))


@each_format
def test_in_the_set_the_gradient_is_inside(format: ColumnFormat):
    """Theorems 1 and 2, by a finite group of symmetries: exactly."""
    table, _ = positions(torch.zeros(N + 1, N + 1, dtype=torch.float64), format=format)
    model = planted_model(table, D, format, n_layers=3)
    found = landscape(model, data=orbit(range(1)), steps=(0.0, 1.0), draws=1).data
    lengths = found.gradient_products.mean(("batch", "batch_")).isel(seed=0, tokens=0)
    inside, outside = (lengths.sel(component=each) for each in ("inside", "outside"))
    assert abs(float(outside.sel(point="model"))) < 1e-20 * float(inside.sel(point="model"))
    assert float(outside.sel(point="away")) > 1e-6 * float(inside.sel(point="away"))


def test_the_length_of_a_gradient_does_not_count_what_batches_differ_in():
    rows = normal(8, 3, seed=1).numpy()
    products = (rows @ rows.T)[None, None, None, None]
    dims = ("seed", "point", "tokens", "component", "batch", "batch_")
    result = RiskLandscape(xr.Dataset({"gradient_products": (dims, products)}))
    pairs = [rows[i] @ rows[j] for i in range(8) for j in range(8) if i != j]
    found = float(result.gradients().estimate.squeeze())
    assert found == pytest.approx(np.sqrt(max(0.0, float(np.mean(pairs)))))


def test_scores_tell_where_the_error_is_least_and_what_leaving_costs(tmp_path):
    model = structured(first_layer=FirstLayer.BLIND)
    result = landscape(model, copy.deepcopy(model), data=episodes(64))
    scores, errors = result.scores(), result.data.error.sel(tokens="all")
    example = errors.isel(direction=errors.part.values == "example").squeeze("direction")
    assert scores.loc["error", "estimate"] == pytest.approx(float(example.sel(step=0).mean()))
    mean = example.mean(("seed", "episode"))
    best = STEPS[int(mean.values.argmin())]
    assert scores.loc["lowest along example", "estimate"] == best
    cost = mean.sel(step=[-0.25, 0.25]).mean() - mean.sel(step=0)
    assert scores.loc["cost of example", "estimate"] == pytest.approx(float(cost))
    assert abs(scores.loc["cost of dead entries", "estimate"]) < 1e-12
    result.save(tmp_path / "landscape.nc")
    loaded = RiskLandscape.load(tmp_path / "landscape.nc")
    xr.testing.assert_identical(loaded.data, result.data)


def test_without_quarter_steps_there_is_no_cost_of_one():
    scores = landscape(structured(), steps=(-1.0, -0.25, 0.0, 1.0)).scores()
    costs = scores[scores.index.str.startswith("cost of ")]
    assert len(costs) > 2 and costs.isna().to_numpy().all()
    assert scores.loc["error"].notna().all()


def test_the_figure_has_a_panel_for_each_kind_of_direction():
    model = structured(first_layer=FirstLayer.BLIND)
    result = landscape(model)
    drawn: Any = tvl.plots.plot_risk_landscape(result)
    titles = [each.text for each in drawn.layout.annotations]
    assert titles == ["along the set", "off the set", "flat by symmetry"]
    curves = result.curves()
    for part in curves.part.values:
        line = next(trace for trace in drawn.data if trace.name == part)
        np.testing.assert_array_equal(line.y, curves.estimate.sel(part=part, tokens="all"))
    assert any(trace.name == "closed form" for trace in drawn.data)


def test_what_cannot_be_asked_is_refused():
    model = structured()
    with pytest.raises(tvl.InputError, match="lack 0"):
        landscape(model, steps=(0.5, 1.0))
    with pytest.raises(tvl.InputError, match="at least 16 episodes of 3 shots"):
        landscape(model, data=episodes(8))
    with pytest.raises(tvl.InputError, match="one kind"):
        landscape(model, structured(n_layers=3))


@pytest.mark.parametrize("covariance", [(), ((2.0, 0.6), (0.6, 0.7))])
def test_the_best_blind_model_is_at_the_least_error(covariance: tuple):
    """K = kappa I, written by hand: x goes to y, and the query to the place that is read out."""
    task = MatrixRegression(D, covariance)
    size, kappa = PAIRWISE.n_tokens(N + 1), theory.optimal_mixing(N, D)
    table = torch.zeros(size, size, dtype=torch.float64)
    for shot in range(N + 1):
        table[2 * shot, 2 * shot + 1] = N
    model = planted_model(
        table, D, PAIRWISE, first_layer=FirstLayer.BLIND, weights=AttentionWeights.MATRICES
    )
    eye = torch.eye(D, dtype=torch.float64)
    precision = eye
    if covariance:
        precision = torch.linalg.inv(torch.tensor(covariance, dtype=torch.float64))
    for layer, (A, B, C) in enumerate([(eye, 0 * eye, 0 * eye), (eye, N * kappa * eye, precision)]):
        for name, weight in zip("AB" if layer == 0 else "ABC", (A, B, C), strict=False):
            getattr(attention(model, layer), name).data = weight
    drawn = tvl.sample_episodes(task, 64, N + 1, generator=rng())
    data = tvl.Episodes(*(each.double() for each in (drawn.x, drawn.y, drawn.target, drawn.params)))
    result = measure_risk_landscape([model], task, data, generator=rng(), steps=STEPS)
    found = result.data.error.sel(step=0, tokens="all").isel(seed=0, direction=0)
    np.testing.assert_allclose(found, result.data.least, rtol=1e-10)
    assert abs(result.scores().loc["error above the least", "estimate"]) < 1e-12


def test_the_mean_of_the_least_errors_is_the_risk_that_theory_knows():
    data, weights = gaussian_nodes(D, N)
    result = landscape(structured(first_layer=FirstLayer.BLIND), data=data, steps=(0.0, 1.0))
    mean = float((result.data["least"].values * weights.numpy()).sum())
    assert mean == pytest.approx(result.data.attrs["least_error"], rel=1e-10)
    assert mean == pytest.approx((D + 1) / (N + D + 1), rel=1e-10)
