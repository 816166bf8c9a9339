import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import (
    ARROW,
    TOKEN_FORMATS,
    XY,
    XYZ,
    ZXY,
    Episodes,
    PositionIds,
    Role,
    TokenFormat,
)

Z, X, Y, ARR = Role.Z, Role.X, Role.Y, Role.ARROW
OWN = TokenFormat("zxay", (Z, X, ARR, Y), (Z, X, ARR), Z, ARR)
"""A format as a user may write it."""

ALL_FORMATS = (*TOKEN_FORMATS, OWN)


@st.composite
def episodes_strategy(draw: st.DrawFn) -> Episodes:
    batch, shots, d_x, d_y = (draw(st.integers(1, most)) for most in (3, 5, 4, 3))
    generator = Generator().manual_seed(draw(st.integers(0, 2**16)))

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    y = values(batch, shots, d_y)
    return Episodes(values(batch, shots, d_x), y, y + values(batch, shots, d_y), values(batch, 1))


def for_all_prompts(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test for every format and for many sizes of episodes."""
    given_data = given(episodes=episodes_strategy(), format=st.sampled_from(ALL_FORMATS))
    return settings(deadline=None, derandomize=True, max_examples=60)(given_data(test))


def written_out(format: TokenFormat, episodes: Episodes, row: int) -> list[tuple[Role, list]]:
    """One row of a context, token by token."""
    d_x, d_y = episodes.x.shape[-1], episodes.y.shape[-1]
    tokens = []
    for shot in range(episodes.shots):
        for role in format.shot:
            y = episodes.y[row, shot].tolist() if role is Y else [0.0] * d_y
            x = episodes.x[row, shot].tolist() if role is X else [0.0] * d_x
            tokens.append((role, y + x + [float(role is each) for each in format.shot]))
            if role is format.answer and shot == episodes.shots - 1:
                return tokens
    raise AssertionError


@for_all_prompts
def test_a_context_is_its_examples_in_a_row_cut_off_after_the_last_answer_token(
    episodes: Episodes, format: TokenFormat
):
    prompt = format.context(episodes)
    for row in range(episodes.batch):
        roles, inputs = zip(*written_out(format, episodes, row), strict=True)
        assert prompt.roles == roles
        assert torch.equal(prompt.inputs[row], torch.tensor(inputs))
    assert prompt.position_ids.tolist() == [list(range(format.n_tokens(episodes.shots)))]
    assert prompt.inputs.shape[-1] == format.d_in(episodes.x.shape[-1], episodes.y.shape[-1])


@for_all_prompts
def test_every_x_and_every_answered_y_can_be_recovered(episodes: Episodes, format: TokenFormat):
    prompt, d_y = format.context(episodes), episodes.y.shape[-1]
    d_x = episodes.x.shape[-1]
    assert torch.equal(prompt.inputs[:, prompt.places(X).positions(), d_y : d_y + d_x], episodes.x)
    assert torch.equal(prompt.inputs[:, prompt.places(Y).positions(), :d_y], episodes.y[:, :-1])


@for_all_prompts
def test_the_last_y_and_the_targets_are_nowhere_in_a_prompt(
    episodes: Episodes, format: TokenFormat
):
    y = episodes.y.clone()
    y[:, -1] = torch.nan
    changed = Episodes(episodes.x, y, episodes.target * torch.nan, episodes.params * torch.nan)
    assert torch.equal(format.context(changed).inputs, format.context(episodes).inputs)


@for_all_prompts
def test_an_answer_token_never_sees_its_own_y(episodes: Episodes, format: TokenFormat):
    prompt = format.context(episodes)
    answers = range(prompt.length)[prompt.answers.only]
    for n in range(episodes.shots):
        y = episodes.y.clone()
        y[:, n] += 1
        changed = format.context(dataclasses.replace(episodes, y=y)).inputs
        seen = slice(answers[n] + 1)
        assert torch.equal(changed[:, seen], format.context(episodes).inputs[:, seen])


@for_all_prompts
def test_tokens_of_a_role_are_the_last_ones_at_or_before_each_answer(
    episodes: Episodes, format: TokenFormat
):
    prompt, shots = format.context(episodes), episodes.shots
    answers = range(prompt.length)[prompt.answers.only]
    assert tuple(answers) == prompt.places(format.answer).positions()
    assert len(answers) == shots
    for role in format.roles:
        first = format.first_length(role)
        positions = [index for index, each in enumerate(prompt.roles) if each is role]
        expected = {
            n: max(position for position in positions if position <= answer)
            for n, answer in enumerate(answers)
            if any(position <= answer for position in positions)
        }
        found = prompt.places(role).positions() if expected else ()
        assert dict(enumerate(found, start=first)) == expected


@for_all_prompts
def test_the_carrier_of_n_examples_stands_after_exactly_n_complete_ones(
    episodes: Episodes, format: TokenFormat
):
    prompt = format.context(episodes)
    first = format.first_length(format.carrier)
    if episodes.shots <= first:
        return
    ys = [index for index, role in enumerate(prompt.roles) if role is Y]
    for n, position in enumerate(prompt.places(format.carrier).positions(), start=first):
        assert sum(each < position for each in ys) == n


@for_all_prompts
def test_whether_the_carrier_sees_the_query_is_what_its_past_shows(
    episodes: Episodes, format: TokenFormat
):
    prompt = format.context(episodes)
    x = episodes.x.clone()
    x[:, -1] += 1
    changed = format.context(dataclasses.replace(episodes, x=x))
    if episodes.shots <= format.first_length(format.carrier):
        return
    past = slice(prompt.places(format.carrier).positions()[-1] + 1)
    seen = not torch.equal(prompt.inputs[:, past], changed.inputs[:, past])
    assert seen is format.carrier_sees_query


@for_all_prompts
def test_a_zero_shot_prompt_with_kept_ids_is_the_end_of_the_context(
    episodes: Episodes, format: TokenFormat
):
    for n in range(format.first_length(format.carrier), episodes.shots):
        up_to_query = Episodes(
            episodes.x[:, : n + 1],
            episodes.y[:, : n + 1],
            episodes.target[:, : n + 1],
            episodes.params,
        )
        end = format.context(up_to_query).alone()
        zero_shot = format.zero_shot(episodes, torch.tensor([[n]]), PositionIds.KEEP)
        assert zero_shot.roles == end.roles == format.query
        assert torch.equal(zero_shot.inputs, end.inputs)
        assert torch.equal(zero_shot.position_ids, end.position_ids.expand(episodes.batch, -1))


@for_all_prompts
def test_kept_ids_count_up_from_no_less_than_zero(episodes: Episodes, format: TokenFormat):
    lengths = torch.arange(episodes.shots)[None]
    ids = format.zero_shot(episodes, lengths, PositionIds.KEEP).position_ids
    assert (ids >= 0).all()
    assert (ids.diff(dim=1) == 1).all()


@for_all_prompts
def test_rows_of_a_zero_shot_prompt_run_over_episodes_then_lengths(
    episodes: Episodes, format: TokenFormat
):
    generator = Generator().manual_seed(0)
    lengths = torch.randint(
        format.first_length(format.carrier),
        max(episodes.shots, 2),
        (episodes.batch, 3),
        generator=generator,
    ).clamp(max=episodes.shots - 1)
    if episodes.shots <= format.first_length(format.carrier):
        return
    for position_ids in PositionIds:
        prompt = format.zero_shot(episodes, lengths, position_ids)
        ids = prompt.position_ids.expand(len(prompt.inputs), -1)
        for row in range(episodes.batch):
            for column, n in enumerate(lengths[row].tolist()):
                alone = format.zero_shot(episodes[row : row + 1], torch.tensor([[n]]), position_ids)
                assert torch.equal(prompt.inputs[3 * row + column], alone.inputs[0])
                assert torch.equal(ids[3 * row + column], alone.position_ids[0])


@for_all_prompts
def test_reset_ids_count_from_zero(episodes: Episodes, format: TokenFormat):
    lengths = torch.arange(episodes.shots)[None]
    prompt = format.zero_shot(episodes, lengths)
    assert prompt.position_ids.tolist() == [list(range(len(format.query)))]


@pytest.mark.parametrize("format", ALL_FORMATS, ids=lambda format: format.name)
def test_a_vector_is_written_at_its_role_or_else_at_the_carrier(format: TokenFormat):
    assert [format.written_role(role) for role in format.roles] == [
        role if role in format.query else format.carrier for role in format.roles
    ]
    assert format.written_role(Y) is format.carrier


@pytest.mark.parametrize(
    ("format", "layout", "sees_query", "first_length"),
    [
        (ZXY, "z x y z x", False, 0),
        (ARROW, "x arrow y x arrow", True, 0),
        (XY, "x y x", True, 0),
        (XYZ, "x y z x", False, 1),
        (OWN, "z x arrow y z x arrow", False, 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_formats_look_as_their_names_say(
    format: TokenFormat, layout: str, sees_query: bool, first_length: int
):
    zeros = torch.zeros(1, 2, 1)
    prompt = format.context(Episodes(zeros, zeros, zeros, zeros[:, 0]))
    assert " ".join(prompt.roles) == layout
    assert format.carrier_sees_query is sees_query
    assert format.first_length(format.carrier) == first_length


@pytest.mark.parametrize(
    ("shot", "query", "carrier", "answer", "reason"),
    [
        ((X, X, Y), (X,), X, X, "no role twice"),
        ((X,), (X,), X, X, "needs x, y"),
        ((X, Z), (X,), X, X, "needs x, y"),
        ((Z, Y), (Z,), Z, Z, "needs x"),
        ((X, Y), (X, Y), X, Y, "never y"),
        ((X, Y), (Z, X), X, X, "roles of the shot"),
        ((Z, X, Y), (Z,), Z, Z, "needs x and the carrier"),
        ((Z, X, Y), (X,), Z, X, "needs x and the carrier"),
        ((X, Y), (), X, X, "needs x and the carrier"),
        ((Z, X, Y), (Z, X), Z, Z, "end with the answer token"),
        ((Z, ARR, X, Y), (Z, X), Z, X, "when shots repeat"),
        ((Y, X), (X,), X, X, "y must stand after the answer token"),
        ((Y, Z, X), (Z, X), Z, X, "y must stand after the answer token"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused_with_the_reason(
    shot: tuple, query: tuple, carrier: Role, answer: Role, reason: str
):
    with pytest.raises(InputError, match=f"cannot be laid out: .*{reason}"):
        TokenFormat("mine", shot, query, carrier, answer)


def test_a_role_that_a_format_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(InputError, match=r"no token 'arrow'.*z, x, y"):
        ZXY.first_length(ARR)
