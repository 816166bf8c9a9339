"""Words of several tokens through prompts and maps, beside a plain loop over strings."""

import numpy as np
import pytest
import torch

import tvlens as tvl
from tests.tiny_llama import TEMPLATE, WORDS, TinyLlama, ids, text_format, tiny_llama
from tvlens.analysis.icl_curve import measure_icl_curve
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.transfer import measure_transfer
from tvlens.prompts import Episodes, PositionIds, Role, TextFormat
from tvlens.results import LocalityMap
from tvlens.tasks import Direction, MapKind

TASK = tvl.Bijections(
    len(WORDS),
    (
        MapKind(Direction.FORWARD, 3),
        MapKind(Direction.BOTH, 1),
    ),
)


@pytest.fixture(scope="module")
def llama() -> TinyLlama:
    return tiny_llama()


@pytest.fixture(scope="module")
def drawn() -> tuple[Episodes, Episodes]:
    generator = torch.Generator().manual_seed(1)
    episodes = tvl.sample_episodes(TASK, 40, 5, generator=generator)
    return episodes, tvl.fresh_queries(TASK, episodes, generator=generator)


def spelled(symbols: torch.Tensor) -> list[str]:
    return [WORDS[int(symbol)] for symbol in symbols.argmax(-1)]


def text(xs: list[str], ys: list[str]) -> str:
    """A context of all pairs but the last, and the question of the last."""
    shown = "".join(f"{x}={y};" for x, y in zip(xs[:-1], ys[:-1], strict=True))
    return f"^{shown}{xs[-1]}="


def said(llama: TinyLlama, prompt: str, length: int) -> str:
    """Greedy decoding, letter by letter."""
    for _ in range(length):
        prompt += "^abc=;"[int(llama.logits(prompt)[-1].argmax())]
    return prompt[-length:]


def test_a_prompt_is_the_text_and_knows_its_roles(drawn: tuple[Episodes, Episodes]) -> None:
    episodes, _ = drawn
    prompt = text_format().context(episodes)
    for row in range(episodes.batch):
        xs, ys = spelled(episodes.x[row]), spelled(episodes.y[row])
        whole = text(xs, ys) + ys[-1][:-1]
        assert prompt.inputs[row, : prompt.lengths[row]].tolist() == ids(whole)
        for role, letter in ((Role.ARROW, "="), (Role.END, ";")):
            places = prompt.places(role).index
            assert isinstance(places, torch.Tensor)
            assert [whole[place] for place in places[row]] == [letter] * places.shape[1]
        read = prompt.places(Role.Y).index
        assert isinstance(read, torch.Tensor)
        assert [whole[place] for place in read[row]] == [y[-1] for y in ys[:-1]]


def test_errors_in_context_are_those_of_greedy_decoding(
    llama: TinyLlama, drawn: tuple[Episodes, Episodes]
) -> None:
    episodes, queries = drawn
    curve = measure_icl_curve(llama.model, TASK, text_format(), episodes, queries, layer=1)
    expected = []
    for row in range(episodes.batch):
        xs, ys = spelled(episodes.x[row]), spelled(episodes.y[row])
        expected.append(
            [
                said(llama, text(xs[: n + 1], ys[: n + 1]), len(ys[n])) != ys[n]
                for n in range(episodes.shots)
            ]
        )
    found = curve.data.icl.values
    assert 0.02 < 1 - np.mean(expected) < 0.98  # The model says some words by chance.
    np.testing.assert_array_equal(found, np.array(expected, dtype=float))


def test_task_vectors_are_those_of_hugging_face_hooks(
    llama: TinyLlama, drawn: tuple[Episodes, Episodes]
) -> None:
    episodes, queries = drawn
    layer = 2
    curve = measure_icl_curve(llama.model, TASK, text_format(), episodes, queries, layer=layer)
    block = llama.reference.model.layers[layer - 1]
    expected = []
    for row in range(12):
        xs, ys = spelled(episodes.x[row]), spelled(episodes.y[row])
        errors = []
        for n in range(episodes.shots):
            asked, answer = spelled(queries.x[row])[n], spelled(queries.target[row])[n]
            context = torch.tensor([ids(text(xs[: n + 1], ys[: n + 1]))])
            with torch.no_grad():
                hidden = llama.reference.model(context, output_hidden_states=True).hidden_states
            vector = hidden[layer][0, -1]
            zero_shot = ids(f"^{asked}={answer[:-1]}")
            carrier = len(f"^{asked}")

            def hook(
                module: object,
                args: object,
                output: torch.Tensor,
                place: int = carrier,
                new: torch.Tensor = vector,
            ) -> torch.Tensor:
                output = output.clone()
                output[:, place] = new
                return output

            handle = block.register_forward_hook(hook)
            with torch.no_grad():
                logits = llama.reference(torch.tensor([zero_shot])).logits[0]
            handle.remove()
            errors.append(logits[carrier:].argmax(-1).tolist() != ids(answer))
        expected.append(errors)
    np.testing.assert_array_equal(curve.data.tvp.values[:12], np.array(expected, dtype=float))
    assert 0 < np.mean(expected) < 1


def test_a_vector_at_its_own_position_is_task_vector_prompting_there(
    llama: TinyLlama, drawn: tuple[Episodes, Episodes]
) -> None:
    """Positions differ from row to row, with the words that stand before."""
    common = (llama.model, TASK, text_format(), *drawn)
    moved = measure_transfer(*common, layer=2).data.lengths
    kept = measure_icl_curve(*common, layer=2, position_ids=PositionIds.KEEP)
    for length in moved.examples.values:
        found = moved.sel(examples=length, position=length)
        np.testing.assert_array_equal(found, kept.data.tvp.sel(examples=length))
    reset = measure_icl_curve(*common, layer=2)
    assert (reset.data.tvp != kept.data.tvp).any()  # Positions matter to this model.


def test_a_map_of_many_rows_is_that_of_each_alone(
    llama: TinyLlama, drawn: tuple[Episodes, Episodes]
) -> None:
    """Padding changes nothing, whatever the lengths of the rows beside it."""
    episodes, queries = (each[:6] for each in drawn)

    def mapped(some: Episodes, asked: Episodes) -> LocalityMap:
        generator = torch.Generator().manual_seed(0)
        untrained = tiny_llama(seed=5).model
        return measure_locality_map(
            llama.model,
            TASK,
            text_format(),
            some,
            asked,
            untrained=untrained,
            generator=generator,
        )

    whole = mapped(episodes, queries).data
    for row in range(episodes.batch):
        alone = mapped(episodes[row : row + 1], queries[row : row + 1]).data
        for name in ("tvp", "icl", "zero_shot", "window", "ablated", "ignorant", "untrained"):
            np.testing.assert_array_equal(alone[name].values[0], whole[name].values[row], name)


def test_kept_position_ids_are_those_of_the_context(drawn: tuple[Episodes, Episodes]) -> None:
    episodes, _ = drawn
    lengths = torch.tensor([[3]])
    format = text_format()
    prompt = format.zero_shot(episodes, lengths, PositionIds.KEEP)
    context = format.context(episodes.some_shots(slice(4)))
    for row in range(episodes.batch):
        asked = prompt.position_ids[row, 1 : prompt.lengths[row]]
        there = context.position_ids[row, context.starts[row] : context.lengths[row]]
        assert asked.tolist() == there.tolist()


def test_a_token_of_two_roles_is_refused_with_the_word() -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    merged = {"^": 0, "a=": 1, "a": 2, "b": 3, ";": 4, "=": 5}
    tokenizer = Tokenizer(models.WordLevel(merged, unk_token="^"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("a=|."), "isolated")
    format = TextFormat(("a", "b"), PreTrainedTokenizerFast(tokenizer_object=tokenizer), TEMPLATE)
    x = torch.eye(2)[None]
    with pytest.raises(tvl.InputError, match=r"'a=' .* belongs to two roles"):
        format.context(Episodes(x, x.flip(1), x.flip(1), x[:, 0]))
