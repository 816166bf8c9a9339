import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from tvlens.base.errors import InputError
from tvlens.interventions.patching import Site, write
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.models import HookedTransformer, Positions, TransformerConfig
from tvlens.prompts import ARROW, TOKEN_FORMATS, XY, XYZ, ZXY, Episodes, PositionIds, TokenFormat
from tvlens.tasks import (
    LinearRegression,
    Sinusoid,
    Task,
    TokenOffset,
    fresh_queries,
    sample_episodes,
)
from tvlens.training.experiment import Experiment
from tvlens.training.icl_objective import (
    AllLengths,
    ICLObjective,
    LastLength,
    Query,
    RandomLengths,
)
from tvlens.training.objectives import Losses

TASK = LinearRegression(d=2)
SHOTS = 4
TVP = ICLObjective(tvp_weight=0.5, tvp_layer=1, lengths=AllLengths())
FRESH = dataclasses.replace(TVP, query=Query.FRESH)

each_objective = pytest.mark.parametrize(
    ("format", "objective"),
    [(ZXY, TVP), (ARROW, FRESH), (XYZ, TVP), (XY, FRESH)],
    ids=lambda value: getattr(value, "name", value.__class__.__name__),
)


def random_model(
    format: TokenFormat, task: Task = TASK, positions: Positions = Positions.ROTARY
) -> HookedTransformer:
    config = TransformerConfig(
        n_layers=2, d_model=8, n_heads=2, mlp_ratio=2, positions=positions, init_std=0.4
    )
    generator = Generator().manual_seed(0)
    d_in = format.d_in(task.d_x, task.d_y)
    return HookedTransformer(config, d_in, task.d_y, generator=generator, dtype=torch.float64)


def episodes_of(task: Task = TASK, batch: int = 3) -> Episodes:
    return sample_episodes(task, batch, SHOTS, generator=Generator().manual_seed(1))


def same_draws() -> Generator:
    """The randomness of one training step, again and again."""
    return Generator().manual_seed(2)


def loss_of(
    model: HookedTransformer, format: TokenFormat, objective: ICLObjective, task: Task = TASK
) -> Losses:
    return loss_of_episodes(model, task, format, episodes_of(task), objective)


def loss_of_episodes(
    model: HookedTransformer,
    task: Task,
    format: TokenFormat,
    episodes: Episodes,
    objective: ICLObjective,
) -> Losses:
    draws = objective.draw(model, task, format, episodes, generator=same_draws())
    return objective.losses(model, task, format, episodes, draws, step=0)


def gradients(model: HookedTransformer, loss: Tensor) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(
        loss, list(parameters.values()), retain_graph=True, materialize_grads=True
    )
    return dict(zip(parameters, found, strict=True))


def by_hooks(
    model: HookedTransformer, format: TokenFormat, objective: ICLObjective, task: Task = TASK
) -> Tensor:
    """The TVP loss by its definition; context lengths are all, or the last one."""
    episodes = episodes_of(task)
    queries = episodes
    if objective.query is Query.FRESH:
        queries = fresh_queries(task, episodes, generator=same_draws())
    site = Site(objective.tvp_layer, format.carrier)
    predictions = task_vector_predictions(
        model, format, episodes, queries, site, objective.position_ids
    )
    lengths = slice(-1, None) if objective.lengths == LastLength() else slice(1 - SHOTS, None)
    return task.loss(predictions[:, lengths], queries.target[:, lengths]).mean() / task.scale


@pytest.mark.parametrize(
    "objective",
    [
        TVP,
        dataclasses.replace(TVP, lengths=LastLength(), position_ids=PositionIds.KEEP),
        dataclasses.replace(FRESH, tvp_layer=2),
    ],
    ids=["all-reset", "last-keep", "fresh-last-layer"],
)
@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("positions", [Positions.LEARNED, Positions.ROTARY])
def test_the_fast_tvp_loss_is_the_definition_in_value_and_gradient(
    objective: ICLObjective, format: TokenFormat, positions: Positions
):
    if format.carrier_sees_query:
        objective = dataclasses.replace(objective, query=Query.FRESH)
    model = random_model(format, positions=positions)
    fast, slow = loss_of(model, format, objective).tvp, by_hooks(model, format, objective)
    assert_close(fast, slow, rtol=1e-10, atol=0)
    assert_close(gradients(model, fast), gradients(model, slow), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("task", [Sinusoid(noise=0.1), TokenOffset(vocabulary=4)], ids=str)
def test_the_fast_tvp_loss_is_the_definition_for_other_tasks(task: Task):
    model = random_model(ZXY, task)
    fast, slow = loss_of(model, ZXY, FRESH, task).tvp, by_hooks(model, ZXY, FRESH, task)
    assert_close(fast, slow, rtol=1e-5, atol=0)
    assert_close(gradients(model, fast), gradients(model, slow), rtol=1e-5, atol=1e-8)


@each_objective
def test_the_gradient_of_the_tvp_loss_is_its_slope_through_both_passes(
    format: TokenFormat, objective: ICLObjective
):
    model = random_model(format, positions=Positions.LEARNED)
    gradient = gradients(model, loss_of(model, format, objective).tvp)
    generator, step = Generator().manual_seed(3), 1e-5
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * step * direction)
                ends.append(loss_of(model, format, objective).tvp)
                parameter.sub_(sign * step * direction)
        slope = (ends[0] - ends[1]) / (2 * step)
        assert_close((gradient[name] * direction).sum(), slope, rtol=1e-6, atol=1e-8)
    assert gradient["W_E"].any()


def context_gradient(loss: Callable[[Episodes], Tensor]) -> Tensor:
    """Gradient of a loss with respect to the examples before the last."""
    episodes = episodes_of()
    shown = [values.detach().clone().requires_grad_() for values in (episodes.x, episodes.y)]
    value = loss(Episodes(shown[0], shown[1], episodes.target, episodes.params))
    found = torch.autograd.grad(value, shown, materialize_grads=True, allow_unused=True)
    return torch.cat([each[:, :-1] for each in found], dim=-1)


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_the_tvp_loss_forms_the_vector_unless_the_gradient_is_stopped(stop_gradient: bool):
    model = random_model(ZXY)
    objective = dataclasses.replace(TVP, lengths=LastLength(), stop_gradient=stop_gradient)

    def tvp(episodes: Episodes) -> Tensor:
        return loss_of_episodes(model, TASK, ZXY, episodes, objective).tvp

    gradient = context_gradient(tvp)
    assert bool((gradient != 0).all()) is not stop_gradient
    assert bool((gradient == 0).all()) is stop_gradient


def test_stopping_the_gradient_changes_no_loss_and_only_what_is_trained_below_the_vector():
    model = random_model(ZXY)
    stopped = dataclasses.replace(TVP, stop_gradient=True)
    flowing, held = loss_of(model, ZXY, TVP), loss_of(model, ZXY, stopped)
    assert_close(held, flowing, rtol=0, atol=0)
    assert_close(gradients(model, held.icl), gradients(model, flowing.icl), rtol=0, atol=0)
    before, after = gradients(model, flowing.tvp), gradients(model, held.tvp)
    written = "blocks.0.attn.out.weight"
    assert not torch.equal(before[written], after[written])
    assert_close(before["unembed.weight"], after["unembed.weight"], rtol=0, atol=0)


def test_a_tvp_loss_from_a_cache_would_never_form_the_vector():
    """Why `tvlens.interventions.patching.read` exists: TransformerLens detaches what it caches."""
    model = random_model(ZXY)

    def naive(episodes: Episodes) -> Tensor:
        prompt = ZXY.context(episodes)
        _, cache = model.run_with_cache(prompt.inputs, prompt.position_ids)
        vector = cache["blocks.1.hook_resid_pre"][:, prompt.places(ZXY.carrier).positions()[-1:]]
        zero_shot = ZXY.zero_shot(episodes, torch.tensor([[SHOTS - 1]]))
        outputs = write(model, zero_shot, Site(1, ZXY.carrier), vector)[:, -1:]
        return TASK.loss(outputs, episodes.target[:, -1:]).mean() / TASK.scale

    last = dataclasses.replace(TVP, lengths=LastLength())
    assert_close(naive(episodes_of()), loss_of(model, ZXY, last).tvp, rtol=1e-10, atol=0)
    assert not context_gradient(naive).any()


@pytest.mark.parametrize("task", [TASK, Sinusoid(), TokenOffset(vocabulary=5)], ids=str)
@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
def test_the_icl_loss_is_the_mean_over_all_answers_in_units_of_the_scale(task: Task, weight: float):
    model, episodes = random_model(ZXY, task), episodes_of(task)
    prompt = ZXY.context(episodes)
    outputs = model(prompt.inputs, prompt.position_ids)[:, prompt.places(ZXY.answer).positions()]
    direct = sum(
        task.loss(outputs[row, n], episodes.target[row, n])
        for row in range(episodes.batch)
        for n in range(SHOTS)
    )
    objective = dataclasses.replace(TVP, tvp_weight=weight)
    found = loss_of(model, ZXY, objective, task)
    assert_close(found.icl, direct / (episodes.batch * SHOTS * task.scale))


def test_losses_are_scored_against_clean_targets():
    noisy = LinearRegression(d=2, noise=1.0)
    model, episodes = random_model(ZXY), episodes_of(noisy)
    other = dataclasses.replace(episodes, target=episodes.target + 1)
    same, shifted = (loss_of_episodes(model, noisy, ZXY, each, TVP) for each in (episodes, other))
    prompt = ZXY.context(episodes)
    outputs = model(prompt.inputs, prompt.position_ids)[:, prompt.answers.only]
    gap = ((outputs - other.target).square() - (outputs - episodes.target).square()).mean() / 2
    assert_close(shifted.icl - same.icl, gap)
    assert shifted.tvp != same.tvp


@pytest.mark.parametrize("weight", [0.1, 1.0, 7.0])
def test_the_total_is_the_icl_loss_plus_the_weighted_tvp_loss(weight: float):
    model = random_model(ZXY)
    found = loss_of(model, ZXY, dataclasses.replace(TVP, tvp_weight=weight))
    unweighted = loss_of(model, ZXY, TVP)
    assert_close(found.total, found.icl + weight * found.tvp, rtol=0, atol=0)
    assert_close(found.tvp, unweighted.tvp, rtol=0, atol=0)


def test_weight_0_is_vanilla_training():
    model = random_model(ZXY)
    found, with_tvp = loss_of(model, ZXY, ICLObjective()), loss_of(model, ZXY, TVP)
    assert torch.equal(found.total, found.icl)
    assert found.tvp.isnan()
    assert_close(found.icl, with_tvp.icl, rtol=1e-12, atol=0)
    assert_close(gradients(model, found.total), gradients(model, with_tvp.icl))


def lengths_of(lengths: AllLengths | LastLength | RandomLengths, batch: int = 2) -> list[list[int]]:
    return lengths.draw_lengths(batch, SHOTS - 1, generator=same_draws()).tolist()


def test_context_lengths_are_all_or_the_last():
    assert lengths_of(AllLengths()) == [[1, 2, 3]] * 2
    assert lengths_of(LastLength()) == [[3]] * 2


def test_random_context_lengths_are_uniform_over_all_but_zero():
    drawn = torch.tensor(lengths_of(RandomLengths(k=5), batch=600))
    counts = drawn.flatten().bincount(minlength=SHOTS)
    assert counts[0] == 0
    assert len(counts) == SHOTS
    assert ((counts[1:] - 1000).abs() < 4 * (1000 * 2 / 3) ** 0.5).all()
    assert len(drawn.unique(dim=0)) > 100


@pytest.mark.parametrize("format", [ARROW, XY], ids=lambda format: format.name)
def test_a_carrier_that_has_seen_the_query_may_not_be_asked_it(format: TokenFormat):
    with pytest.raises(InputError, match=r"seen the x that it answers.*query=fresh"):
        Experiment(format=format, objective=TVP)
    assert Experiment(format=format, objective=FRESH).objective is FRESH
    assert Experiment(format=format, objective=ICLObjective()).format is format


def test_a_tvp_layer_that_the_model_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"tvp_layer 4 is out of range.*0\.\.3"):
        Experiment(objective=dataclasses.replace(TVP, tvp_layer=4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ICLObjective(tvp_weight=-1.0),
        lambda: ICLObjective(tvp_layer=-1),
        lambda: RandomLengths(k=0),
    ],
)
def test_an_objective_without_sense_is_refused(make: Callable[[], object]):
    with pytest.raises(InputError):
        make()
