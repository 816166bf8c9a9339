"""How examples become text, and text tokens.

Symbols stand for words. A word may take several tokens, so rows differ in length and each role is
a span of tokens, found from the offsets of characters. Nothing here knows a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts.episodes import Episodes
from tvlens.prompts.format import check_role
from tvlens.prompts.prompt import PositionIds, RaggedPrompt, Role
from tvlens.prompts.word_answers import WordAnswers


@runtime_checkable
class Tokenizer(Protocol):
    """What a fast tokenizer of Hugging Face does."""

    def __call__(self, text: list[str], **options: Any) -> Any:
        """Ids (`input_ids`) and character offsets (`offset_mapping`) of some texts."""
        ...


@dataclass(frozen=True)
class Template:
    """The text of one example; `{}` stands for the word."""

    x: str = " {}"
    separator: str = "->"
    y: str = " {}"
    end: str = "\n"
    first: str = ""
    """What every prompt begins with: a token such as `<|endoftext|>` for models that make an
    attention sink of their first token."""


@dataclass(frozen=True)
class TextFormat:
    """x and y as words around a separator, which carries the task vector.

    An episode's symbols (one-hot vectors) are the numbers of words.
    """

    words: tuple[str, ...]
    """What the symbols stand for."""
    tokenizer: Tokenizer
    template: Template = Template()
    name: str = "text"

    carrier = Role.ARROW
    """The last token of the separator."""
    answer = Role.ARROW
    """The first token of y is predicted at the last token of the separator."""
    roles = (Role.X, Role.ARROW, Role.Y, Role.END)
    """Every role, in the order of an example."""
    query = (Role.X, Role.ARROW)
    """The roles of the zero-shot prompt."""
    carrier_sees_query = True
    prefixes = True
    position_ids = PositionIds.RESET

    def first_length(self, role: Role) -> int:
        """The shortest context that has a token of `role` at or before its answer.

        Raises:
            InputError: the format has no such role.
        """
        check_role(self, role)
        return int(role in (Role.Y, Role.END))

    def written_role(self, role: Role) -> Role:
        """Where a vector read at `role` goes in the zero-shot prompt."""
        return role if role in self.query else self.carrier

    def n_tokens(self, shots: int) -> int:
        """Tokens of the longest prompt that there may be of so many shots."""
        longest = self._spelling().shape[1]
        return shots * (2 * longest + 4) + 1

    def context(self, episodes: Episodes) -> RaggedPrompt:
        """All examples of the episodes in one prompt, up to the last token of the last y but one.

        The last answer's own tokens are shown to those that predict the rest of it.
        """
        x, y = _numbers(episodes.x), _numbers(episodes.y)
        y[:, -1] = _numbers(episodes.target)[:, -1]
        return self._prompt(x, y, None, episodes.x.device)

    def zero_shot(
        self,
        queries: Episodes,
        lengths: Int[Tensor, "#batch length"],
        position_ids: PositionIds | None = None,
    ) -> RaggedPrompt:
        """A prompt without context for each episode and each context length n in `lengths`.

        Args:
            queries: example n of each episode is the one asked after n examples.
            lengths: context lengths; the rows of the prompt run over episodes, then lengths.
            position_ids: counted from 0, or as after the first n examples of `queries`.
        """
        x, y = _numbers(queries.x), _numbers(queries.target)
        chosen = np.broadcast_to(lengths.cpu().numpy(), (len(x), lengths.shape[1]))
        starts = None
        if position_ids is PositionIds.KEEP:
            whole = self._prompt(x, y, None, queries.x.device)
            starts = np.take_along_axis(whole.spans[Role.X][..., 0], chosen, 1).reshape(-1)
            starts = starts - self._first()
        x, y = (np.take_along_axis(each, chosen, 1).reshape(-1, 1) for each in (x, y))
        return self._prompt(x, y, starts, queries.x.device)

    def _first(self) -> int:
        """Tokens that every prompt begins with."""
        return len(self._tokens([self.template.first])["input_ids"][0])

    def _prompt(
        self,
        x: Int[np.ndarray, "batch shot"],
        y: Int[np.ndarray, "batch shot"],
        shift: Int[np.ndarray, " batch"] | None,
        device: torch.device,
    ) -> RaggedPrompt:
        texts, ends = zip(*(self._text(*row) for row in zip(x, y, strict=True)), strict=True)
        tokens = self._tokens(list(texts))
        spans = [
            _spans(text, offsets, end)
            for text, offsets, end in zip(texts, tokens["offset_mapping"], ends, strict=True)
        ]
        by_role = np.array(spans).reshape(len(x), x.shape[1], len(self.roles), 2)
        # The last token of the last answer predicts nothing that is asked.
        lengths = by_role[:, -1, self.roles.index(Role.Y), 1] - 1
        ids = np.zeros((len(x), int(lengths.max())), dtype=np.int64)
        for row, (each, length) in enumerate(zip(tokens["input_ids"], lengths, strict=True)):
            ids[row, :length] = each[:length]
        positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        if shift is not None:
            positions = positions + np.where(positions < self._first(), 0, shift[:, None])
        shown = {Role.Y: slice(-1), Role.END: slice(-1)}
        return RaggedPrompt(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(positions.copy()).to(device),
            lengths,
            {
                role: by_role[:, shown.get(role, slice(None)), index]
                for index, role in enumerate(self.roles)
            },
            by_role[:, -1, self.roles.index(Role.X), 0],
            self._answers(by_role[:, :, self.roles.index(Role.Y)], y),
        )

    def _answers(
        self, spans: Int[np.ndarray, "batch shot 2"], y: Int[np.ndarray, "batch shot"]
    ) -> WordAnswers:
        spelling = self._spelling()
        index = spans[..., :1] - 1 + np.arange(spelling.shape[1])
        return WordAnswers(np.minimum(index, spans[..., 1:] - 2), y, spelling)

    def _text(
        self, x: Int[np.ndarray, " shot"], y: Int[np.ndarray, " shot"]
    ) -> tuple[str, list[int]]:
        """The text of a row, and where each of its pieces ends, in characters."""
        template = self.template
        text, ends = template.first, [len(template.first)]
        for one, other in zip(x, y, strict=True):
            for piece in (
                template.x.format(self.words[one]),
                template.separator,
                template.y.format(self.words[other]),
                template.end,
            ):
                text += piece
                ends.append(len(text))
        return text, ends

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)

    def _spelling(self) -> Int[np.ndarray, "word token"]:
        """The tokens of every word as an answer, -1 behind its end."""
        spelled = self._tokens([self.template.y.format(word) for word in self.words])["input_ids"]
        longest = max(map(len, spelled))
        return np.array([[*each, *[-1] * (longest - len(each))] for each in spelled])


def _numbers(symbols: Float[Tensor, "batch shot word"]) -> Int[np.ndarray, "batch shot"]:
    return symbols.argmax(-1).cpu().numpy().copy()


def _spans(
    text: str, offsets: Sequence[tuple[int, int]], ends: Sequence[int]
) -> list[tuple[int, int]]:
    """The tokens of each piece of a text but the first, from the characters of each token.

    Args:
        text: the pieces, one after the other.
        offsets: where each token begins and ends in the text.
        ends: where each piece ends in the text.

    Raises:
        InputError: a token belongs to two pieces.
    """
    # The tokens of one character all end where it does; the last of them ends the piece.
    last = {stop: token for token, (_, stop) in enumerate(offsets)} | {0: -1}
    for end in ends:
        if end not in last:
            first, stop = next(each for each in offsets if each[0] < end < each[1])
            raise InputError(
                f"The token {text[first:stop]!r} of {text[max(0, first - 20) : stop]!r} belongs to "
                "two roles. Choose a template in which words and separators begin tokens of their "
                "own: put a space before each word, say."
            )
    bounds = [last[end] + 1 for end in ends]
    return list(pairwise(bounds))
