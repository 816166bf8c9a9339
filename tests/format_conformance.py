"""What holds for every prompt format. `check_format` is all that a new format has to pass."""

import dataclasses

import pytest
import torch
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import AlignedPrompt, Episodes, Format, PositionIds, Prompt, Role, carrier_of
from tvlens.tasks import Task, fresh_queries, sample_episodes

BATCH, SHOTS = 5, 4


def check_format(format: Format, task: Task) -> None:
    """Check a format against everything that tvlens relies on.

    Args:
        format: what is checked.
        task: makes examples that the format can show; no two x of its first episodes are alike.
    """
    generator = Generator().manual_seed(3)
    episodes = sample_episodes(task, BATCH, SHOTS, generator=generator)
    queries = fresh_queries(task, episodes, generator=generator)
    check_roles(format)
    check_context_lengths(format, episodes)
    check_places(format.context(episodes), format)
    check_answers_are_hidden(format, episodes)
    check_what_the_carrier_sees(format, episodes)
    check_beginnings(format, episodes)
    check_zero_shot_is_the_end_of_a_context(format, episodes)
    check_rows_of_zero_shot_prompts(format, queries)
    check_query_alone(format.context(episodes))
    check_repeated(format.context(episodes))


def check_roles(format: Format) -> None:
    assert format.name
    assert len(set(format.roles)) == len(format.roles)
    assert set(format.query) <= set(format.roles)
    assert format.answer in format.query
    assert {format.written_role(role) for role in format.roles} <= set(format.query)
    assert all(format.written_role(role) is role for role in format.query)
    if format.carrier is None:
        with pytest.raises(InputError, match=f"Format '{format.name}' has no carrier"):
            carrier_of(format)
    else:
        assert carrier_of(format) is format.carrier
        assert format.carrier in format.query
    for role in set(Role) - set(format.roles):
        with pytest.raises(InputError, match=f"no token '{role}'"):
            format.first_length(role)


def check_context_lengths(format: Format, episodes: Episodes) -> None:
    for shots in range(1, SHOTS + 1):
        prompt = format.context(episodes.some_shots(slice(shots)))
        assert len(prompt.inputs) == BATCH
        assert prompt.inputs.shape[1] == prompt.length <= format.n_tokens(shots)
        if isinstance(prompt, AlignedPrompt):
            assert prompt.length == format.n_tokens(shots)
        for role in format.roles:
            expected = max(0, shots - format.first_length(role))
            assert prompt.places(role).count == expected
            assert (role in prompt.present) is (expected > 0)


def positions(prompt: Prompt, role: Role) -> Tensor:
    """Where a role stands, "batch token"."""
    index = torch.arange(prompt.length).expand(BATCH, -1)
    return prompt.places(role).read(index)


def check_places(prompt: Prompt, format: Format) -> None:
    found = {role: positions(prompt, role) for role in format.roles}
    for role, index in found.items():
        assert (index >= 0).all() and (index < prompt.length).all()
        assert (index[:, 1:] > index[:, :-1]).all()
        assert prompt.places(role).leftmost == index.min()
        last = prompt.places(role).only(-1)
        assert last.count == 1
        values = torch.randn(BATCH, prompt.length, 3, generator=Generator().manual_seed(0))
        new = torch.randn(BATCH, index.shape[1], 3, generator=Generator().manual_seed(1))
        written = prompt.places(role).write(values, new)
        assert torch.equal(prompt.places(role).read(written), new)
        assert torch.equal(last.read(written), new[:, -1:])
        untouched = torch.ones(BATCH, prompt.length).scatter(1, index, 0.0).bool()
        assert torch.equal(written[untouched], values[untouched])
        rest, kept = prompt.places(role).after(prompt.places(role).leftmost)
        shifted = values[:, prompt.places(role).leftmost :]
        assert torch.equal(rest.read(shifted), prompt.places(role).read(values)[:, kept])
    for one in found:
        for other in set(found) - {one}:
            assert not (found[one][:, :, None] == found[other][:, None]).any()


def answered_at(prompt: Prompt, format: Format) -> Tensor:
    """Where the last answer begins to be predicted, " batch"."""
    return positions(prompt, format.answer)[:, -1]


def check_answers_are_hidden(format: Format, episodes: Episodes) -> None:
    """No token that the last prediction may be made from shows the answer."""
    other = episodes.y.clone(), episodes.target.clone()
    for each in other:
        each[:, -1] = episodes.y[:, 0] if format.name == "text" else each[:, -1] + 1
    changed = dataclasses.replace(episodes, y=other[0], target=other[1])
    one, two = format.context(episodes), format.context(changed)
    for row, place in enumerate(answered_at(one, format).tolist()):
        assert torch.equal(one.inputs[row, : place + 1], two.inputs[row, : place + 1])
    if not format.prefixes:
        assert torch.equal(one.inputs, two.inputs)


def check_what_the_carrier_sees(format: Format, episodes: Episodes) -> None:
    if format.carrier is None or not format.prefixes:
        return
    x = episodes.x.clone()
    x[:, -1] = x[:, 0]
    one, two = format.context(episodes), format.context(dataclasses.replace(episodes, x=x))
    place = positions(one, format.carrier)[:, -1].tolist()
    seen = [
        not torch.equal(one.inputs[row, : p + 1], two.inputs[row, : p + 1])
        for row, p in enumerate(place)
        if not torch.equal(episodes.x[row, -1], episodes.x[row, 0])
    ]
    assert seen and set(seen) == {format.carrier_sees_query}


def rows(prompt: Prompt) -> list[tuple[Tensor, Tensor]]:
    """Inputs and position ids of each row, without padding."""
    lengths = getattr(prompt, "lengths", [prompt.length] * len(prompt.inputs))
    ids = prompt.position_ids.expand(len(prompt.inputs), -1)
    return [(prompt.inputs[r, :n], ids[r, :n]) for r, n in enumerate(lengths)]


def check_beginnings(format: Format, episodes: Episodes) -> None:
    """A context is the beginning of a longer one, or its end."""
    longer = rows(format.context(episodes))
    for shots in range(1, SHOTS):
        part = slice(shots) if format.prefixes else slice(SHOTS - shots, None)
        shorter = rows(format.context(episodes.some_shots(part)))
        for (inputs, ids), (whole, whole_ids) in zip(shorter, longer, strict=True):
            same = slice(len(inputs)) if format.prefixes else slice(-len(inputs), None)
            assert torch.equal(inputs, whole[same])
            assert torch.equal(ids, whole_ids[same])


def check_zero_shot_is_the_end_of_a_context(format: Format, episodes: Episodes) -> None:
    """With kept position ids, a prompt without a context is the query of a context, cut out."""
    first = 0 if format.carrier is None else format.first_length(format.carrier)
    for n in range(first, SHOTS):
        end = format.context(episodes.some_shots(slice(n + 1))).alone()
        zero_shot = format.zero_shot(episodes, torch.tensor([[n]]), PositionIds.KEEP)
        for role in format.query:
            assert zero_shot.places(role).count == 1
        for (inputs, ids), (cut, cut_ids) in zip(rows(zero_shot), rows(end), strict=True):
            # What comes before every prompt, a first token of text say, is no part of the query.
            before = len(inputs) - len(cut)
            assert before == (1 if format.name == "text" else 0)
            assert torch.equal(inputs[before:], cut)
            assert torch.equal(ids[before:], cut_ids)


def check_rows_of_zero_shot_prompts(format: Format, queries: Episodes) -> None:
    """Rows run over episodes, then lengths, with position ids of the format's own kind."""
    lengths = torch.tensor([[1, 3]])
    together = rows(format.zero_shot(queries, lengths))
    one_by_one = [rows(format.zero_shot(queries, lengths[:, [i]])) for i in range(2)]
    in_turn = [row for pair in zip(*one_by_one, strict=True) for row in pair]
    named = rows(format.zero_shot(queries, lengths, format.position_ids))
    for (inputs, ids), (alone, alone_ids), (same, same_ids) in zip(
        together, in_turn, named, strict=True
    ):
        assert torch.equal(inputs, alone) and torch.equal(ids, alone_ids)
        assert torch.equal(inputs, same) and torch.equal(ids, same_ids)


def check_query_alone(prompt: Prompt) -> None:
    alone, query = prompt.alone(), prompt.query
    ids = prompt.position_ids.expand(BATCH, -1)
    assert torch.equal(query.read(prompt.inputs), alone.query.read(alone.inputs))
    assert torch.equal(query.read(ids), alone.query.read(alone.position_ids.expand(BATCH, -1)))
    moved = alone.at(alone.position_ids + 7)
    assert torch.equal(moved.position_ids, alone.position_ids + 7)
    assert torch.equal(moved.inputs, alone.inputs)


def check_repeated(prompt: Prompt) -> None:
    many = prompt.repeated(3)
    assert torch.equal(many.inputs, torch.cat([prompt.inputs] * 3))
    ids = prompt.position_ids.expand(BATCH, -1)
    assert torch.equal(many.position_ids.expand(3 * BATCH, -1), torch.cat([ids] * 3))
    outputs = torch.randn(BATCH, prompt.length, 7, generator=Generator().manual_seed(0))
    thrice = torch.cat([outputs] * 3)
    said = prompt.answers.predictions(outputs[:, prompt.answers.only])
    again = many.answers.predictions(thrice[:, many.answers.only])
    assert torch.equal(again, torch.cat([said] * 3))
    last = prompt.answers.last
    assert torch.equal(last.predictions(outputs[:, last.only]), said[:, -1:])
