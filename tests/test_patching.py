import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close
from transformer_lens.hook_points import HookPoint

from tests.planted import planted_model
from tests.random_models import N_LAYERS, SHOTS, TASK, SkipsBlock, each_format, random_model
from tvlens.base.errors import InputError
from tvlens.interventions.patching import (
    Site,
    count_layers,
    read,
    read_all,
    write,
    write_all,
)
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.models import HookedTransformer, Positions
from tvlens.prompts import (
    ARROW,
    XY,
    XYZ,
    ZXY,
    Episodes,
    PositionIds,
    Prompt,
    Role,
    TokenFormat,
    aligned,
)
from tvlens.tasks import LinearRegression, fresh_queries, oracle_predictions, sample_episodes

LAYERS = range(N_LAYERS + 1)

each_kind = pytest.mark.parametrize("positions", Positions)


def data(batch: int = 5, shots: int = SHOTS, task: LinearRegression = TASK):
    """Episodes, and fresh queries of the same functions."""
    generator = Generator().manual_seed(1)
    episodes = sample_episodes(task, batch, shots, generator=generator)
    return episodes, fresh_queries(task, episodes, generator=generator)


def run(model: HookedTransformer, prompt: Prompt) -> Tensor:
    return model(prompt.inputs, prompt.position_ids)


def sites_of(format: TokenFormat) -> list[Site]:
    return [
        Site(layer, role, occurrence)
        for layer, role, occurrence in itertools.product(LAYERS, format.roles, (None, 0, -1))
    ]


def other_values(model: HookedTransformer, prompt: Prompt, site: Site) -> Tensor:
    """Random values that fit a site."""
    residual = read(model, prompt, site)
    return torch.randn(residual.shape, generator=Generator().manual_seed(2), dtype=residual.dtype)


def hooks_on(model: HookedTransformer) -> int:
    return sum(len(point._forward_hooks) for point in model.hook_dict.values())


@pytest.mark.parametrize(("learn_layer", "answer_layer"), [(1, 2), (1, 4), (2, 4), (3, 4)])
def test_tvp_recovers_a_planted_task_exactly_where_it_was_planted(
    learn_layer: int, answer_layer: int
):
    model = planted_model(4, learn_layer, answer_layer, TASK.d)
    episodes, queries = data()
    prompt, zero_shot = ZXY.context(episodes), ZXY.zero_shot(episodes, torch.arange(SHOTS)[None])
    in_context = model(prompt.inputs, prompt.position_ids)[:, prompt.answers.only]
    without = model(zero_shot.inputs, zero_shot.position_ids)[:, -1].unflatten(0, (-1, SHOTS))
    assert not torch.equal(in_context, without)
    for layer, position_ids in itertools.product(range(5), PositionIds):
        site = Site(layer, Role.Z)
        prompted = task_vector_predictions(model, ZXY, episodes, episodes, site, position_ids)
        expected = in_context if learn_layer <= layer < answer_layer else without
        assert torch.equal(prompted, expected)
        fresh = task_vector_predictions(model, ZXY, episodes, queries, site, position_ids)
        if learn_layer <= layer < answer_layer:
            oracle = oracle_predictions(TASK, episodes, queries)
            assert_close(fresh.float(), oracle, rtol=1e-4, atol=1e-4)
        else:
            assert not fresh.any()


def test_the_planted_model_is_the_least_squares_oracle():
    model = planted_model(2, 1, 2, TASK.d)
    episodes, _ = data(batch=64, shots=6)
    prompt = ZXY.context(episodes)
    predictions = model(prompt.inputs, prompt.position_ids)[:, prompt.answers.only].float()
    oracle = oracle_predictions(TASK, episodes, episodes)
    assert_close(predictions, oracle, rtol=1e-4, atol=1e-4)
    assert_close(
        TASK.error(predictions, episodes.target).mean(0),
        TASK.error(oracle, episodes.target).mean(0),
        rtol=1e-5,
        atol=1e-8,
    )


@each_format
@each_kind
def test_writing_back_what_was_read_changes_nothing(format: TokenFormat, positions: Positions):
    model, prompt = random_model(format, positions), format.context(data()[0])
    expected = run(model, prompt)
    residuals = read_all(model, prompt, sites_of(format))
    for site, value in residuals.items():
        assert torch.equal(write(model, prompt, site, value), expected)
    one_per_layer = {site: value for site, value in residuals.items() if site.occurrence is None}
    assert torch.equal(write_all(model, prompt, one_per_layer), expected)


@each_format
def test_a_site_is_its_tokens_in_the_residual_stream(format: TokenFormat):
    model, prompt = random_model(format), format.context(data()[0])
    _, cache = model.run_with_cache(
        prompt.inputs, prompt.position_ids, names_filter=lambda name: "resid" in name
    )
    stream = [cache["blocks.0.hook_resid_pre"]]
    stream += [cache[f"blocks.{block}.hook_resid_post"] for block in range(N_LAYERS)]
    for site in sites_of(format):
        positions = [i for i, role in enumerate(prompt.roles) if role is site.role]
        chosen = positions if site.occurrence is None else [positions[site.occurrence]]
        assert torch.equal(read(model, prompt, site), stream[site.layer][:, chosen])


@each_format
@each_kind
def test_a_write_shows_from_its_token_on_and_never_before(
    format: TokenFormat, positions: Positions
):
    model, prompt = random_model(format, positions), format.context(data()[0])
    expected = run(model, prompt)
    for layer, role, occurrence in itertools.product(LAYERS, format.roles, (0, -1)):
        site = Site(layer, role, occurrence)
        (position,) = site.places(prompt).positions()
        outputs = write(model, prompt, site, other_values(model, prompt, site))
        assert torch.equal(outputs[:, :position], expected[:, :position])
        assert not torch.isclose(outputs[:, position], expected[:, position]).any()
        later = torch.equal(outputs[:, position + 1 :], expected[:, position + 1 :])
        assert later is (layer == N_LAYERS or position == len(prompt.roles) - 1)


@each_format
def test_a_write_at_the_last_layer_stays_at_its_token(format: TokenFormat):
    model, prompt = random_model(format), format.context(data()[0])
    answers = prompt.answers.only
    for role in set(format.roles) - {format.answer}:
        site = Site(N_LAYERS, role)
        outputs = write(model, prompt, site, other_values(model, prompt, site))
        assert torch.equal(outputs[:, answers], run(model, prompt)[:, answers])


@each_kind
def test_at_layer_0_the_carrier_of_zxy_knows_no_task(positions: Positions):
    vectors = read(random_model(ZXY, positions), ZXY.context(data()[0]), Site(0, Role.Z))
    assert torch.equal(vectors, vectors[:1].expand_as(vectors))
    one_for_all = torch.equal(vectors, vectors[:, :1].expand_as(vectors))
    assert one_for_all is (positions is not Positions.LEARNED)


@each_kind
def test_the_vector_of_no_examples_is_that_of_the_zero_shot_pass(positions: Positions):
    model = random_model(ZXY, positions)
    episodes, queries = data()
    zero_shot = ZXY.zero_shot(queries, torch.zeros(1, 1, dtype=torch.long))
    expected = run(model, zero_shot)[:, -1:]
    first = Episodes(episodes.x[:, :1], episodes.y[:, :1], episodes.target[:, :1], episodes.params)
    for layer in LAYERS:
        alone = task_vector_predictions(model, ZXY, first, queries, Site(layer, Role.Z))
        assert torch.equal(alone, expected)
        of_many = task_vector_predictions(model, ZXY, episodes, queries, Site(layer, Role.Z))
        assert_close(of_many[:, :1], expected, rtol=1e-5, atol=1e-5)


@each_kind
@pytest.mark.parametrize("format", [ZXY, XYZ], ids=lambda format: format.name)
def test_a_carrier_before_the_query_ignores_it(format: TokenFormat, positions: Positions):
    model, (episodes, queries) = random_model(format, positions), data()
    x = torch.cat([episodes.x[:, :-1], queries.x[:, -1:]], dim=1)
    other = Episodes(x, episodes.y, episodes.target, episodes.params)
    for layer in LAYERS:
        vectors, others = (
            read(model, format.context(each), Site(layer, Role.Z)) for each in (episodes, other)
        )
        assert torch.equal(vectors, others)


def test_the_arrow_does_not_ignore_its_query():
    model, (episodes, queries) = random_model(ARROW), data()
    x = torch.cat([episodes.x[:, :-1], queries.x[:, -1:]], dim=1)
    other = Episodes(x, episodes.y, episodes.target, episodes.params)
    vectors, others = (
        read(model, ARROW.context(each), Site(1, Role.ARROW, -1)) for each in (episodes, other)
    )
    assert not torch.isclose(vectors, others).all(-1).any()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_vector_on_the_only_token_of_a_prompt_replaces_the_query(layer: int):
    model, (episodes, queries) = random_model(XY, Positions.LEARNED), data()
    site = Site(layer, Role.X)
    first = task_vector_predictions(model, XY, episodes, episodes, site)
    second = task_vector_predictions(model, XY, episodes, queries, site)
    assert_close(first, second, rtol=0, atol=1e-6)


@each_format
def test_tvp_is_a_read_and_a_write_one_vector_at_a_time(format: TokenFormat):
    model, (episodes, queries) = random_model(format, Positions.LEARNED, torch.float64), data()
    prompt = format.context(episodes)
    for layer, role, position_ids in itertools.product(LAYERS, format.roles, PositionIds):
        first = format.first_length(role)
        predictions = task_vector_predictions(
            model, format, episodes, queries, Site(layer, role), position_ids
        )
        assert predictions.shape[1] == SHOTS - first
        for n in range(first, SHOTS):
            vector = read(model, prompt, Site(layer, role, n - first))
            zero_shot = format.zero_shot(queries, torch.tensor([[n]]), position_ids)
            target = Site(layer, role if role in format.query else format.carrier)
            alone = write(model, zero_shot, target, vector)[:, -1]
            assert_close(predictions[:, n - first], alone, rtol=0, atol=1e-13)


def test_gradients_flow_through_a_read_and_a_write():
    model, prompt = random_model(ZXY, dtype=torch.float64), ZXY.context(data()[0])
    first = Site(1, Role.Z, -1)
    value = read(model, prompt, first)
    assert value.requires_grad
    leaf = value.detach().requires_grad_()
    write(model, prompt, first, leaf)[:, -1].sum().backward()
    step = torch.randn(leaf.shape, generator=Generator().manual_seed(3), dtype=leaf.dtype)
    up, down = (
        write(model, prompt, first, value + sign * 1e-6 * step)[:, -1].sum() for sign in (1, -1)
    )
    assert leaf.grad is not None
    assert_close((leaf.grad * step).sum(), (up - down) / 2e-6, rtol=1e-6, atol=1e-9)


def test_no_hooks_are_left_behind():
    model, (episodes, queries) = random_model(ZXY), data()
    prompt, site = ZXY.context(episodes), Site(2, Role.Z)
    write(model, prompt, site, read(model, prompt, site))
    task_vector_predictions(model, ZXY, episodes, queries, site)
    assert hooks_on(model) == 0


def too_wide(model: HookedTransformer, prompt: Prompt, site: Site) -> None:
    write(model, prompt, site, torch.zeros(5, 4, 17))


def wrong_inputs(model: HookedTransformer, prompt: Prompt, site: Site) -> None:
    read(model, replace(aligned(prompt), inputs=prompt.inputs[..., 1:]), site)


@pytest.mark.parametrize("mistake", [too_wide, wrong_inputs])
def test_no_hooks_are_left_behind_by_an_error(mistake: Callable[..., None]):
    model, prompt = random_model(ZXY), ZXY.context(data()[0])
    expected = run(model, prompt)
    with pytest.raises(InputError):
        mistake(model, prompt, Site(2, Role.Z))
    assert hooks_on(model) == 0
    assert torch.equal(run(model, prompt), expected)


def test_hooks_of_the_user_stay_and_are_seen():
    model, prompt, site = random_model(ZXY), ZXY.context(data()[0]), Site(1, Role.Z)
    plain, calls = read(model, prompt, site), []

    def double(tensor: Tensor, *, hook: HookPoint) -> Tensor:
        calls.append(hook)
        return 2 * tensor

    model.hook_dict["blocks.1.hook_resid_pre"].add_hook(double)
    assert torch.equal(read(model, prompt, site), 2 * plain)
    write(model, prompt, site, plain)
    run(model, prompt)
    assert len(calls) == 3
    assert hooks_on(model) == 1


def test_a_write_leaves_what_others_have_seen_as_it_was():
    model, prompt, site = random_model(ZXY), ZXY.context(data()[0]), Site(1, Role.Z)
    plain, seen = read(model, prompt, site), []

    def keep(tensor: Tensor, *, hook: HookPoint) -> None:
        seen.append(tensor)

    model.hook_dict["blocks.0.hook_resid_post"].add_hook(keep)
    write(model, prompt, site, other_values(model, prompt, site))
    assert torch.equal(site.places(prompt).read(seen[-1]), plain)


@pytest.mark.parametrize("layer", [-1, N_LAYERS + 1])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(layer: int):
    model, prompt = random_model(ZXY), ZXY.context(data()[0])
    with pytest.raises(InputError, match=rf"Layer {layer} is out of range.*0\.\.{N_LAYERS}"):
        read(model, prompt, Site(layer, Role.Z))


@pytest.mark.parametrize("site", [Site(1, Role.ARROW), Site(1, Role.Z, 4), Site(1, Role.Z, -5)])
def test_a_token_that_is_not_there_is_refused_with_those_that_are(site: Site):
    model, prompt = random_model(ZXY), ZXY.context(data()[0])
    with pytest.raises(InputError, match=r"is not in this prompt.*of the roles z, x, y"):
        read(model, prompt, site)
    with pytest.raises(InputError, match=r"is not in this prompt.*of the roles z, x, y"):
        write(model, prompt, site, torch.zeros(5, 1, 16))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.zeros(5, SHOTS, 15), r"shape \(5, 4, 15\).*shape \(5, 4, 16\)"),
        (torch.zeros(5, 1, 16), r"shape \(5, 1, 16\).*shape \(5, 4, 16\)"),
        (torch.zeros(1, SHOTS, 16), r"shape \(1, 4, 16\).*shape \(5, 4, 16\)"),
        (torch.zeros(5, SHOTS, 16).double(), r"dtype torch.float64.*dtype torch.float32"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(value: Tensor, reason: str):
    model, prompt = random_model(ZXY), ZXY.context(data()[0])
    with pytest.raises(InputError, match=reason):
        write(model, prompt, Site(1, Role.Z), value)


class RepeatsBlock(HookedTransformer):
    """Runs the block in the middle twice."""

    def forward(self, inputs: Tensor, position_ids: Tensor | None = None, **_: object) -> Tensor:
        residual = super().forward(inputs, position_ids, stop_at_layer=2)
        return super().forward(residual, position_ids, start_at_layer=1)


@pytest.mark.parametrize(("kind", "count"), [(SkipsBlock, 0), (RepeatsBlock, 2)])
def test_a_hook_that_does_not_fire_once_is_an_error(kind: type[HookedTransformer], count: int):
    model, prompt, site = random_model(ZXY, kind=kind), ZXY.context(data()[0]), Site(1, Role.Z)
    message = f"blocks.1.hook_resid_pre fired {count} times instead of once"
    with pytest.raises(RuntimeError, match=message):
        write(model, prompt, site, torch.zeros(5, SHOTS, 16))
    with pytest.raises(RuntimeError, match=message):
        read(model, prompt, site)
    assert hooks_on(model) == 0


def test_layers_are_counted_by_hook_names():
    assert count_layers(random_model(ZXY)) == N_LAYERS
    assert count_layers(planted_model(5, 1, 2, 3)) == 5
