"""A batch of token sequences, and where each of its tokens stands.

Where all rows share one layout, positions are Python numbers, so that nothing waits for a device
(`AlignedPrompt`). Where words differ in length, positions are an index for each row
(`RaggedPrompt`). All else asks a prompt for `Places` and never computes positions itself.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts.word_answers import WordAnswers


class Role(enum.StrEnum):
    """What a token stands for. The value is the name shown in figures and files."""

    X = "x"
    Y = "y"
    Z = "z"
    ARROW = "arrow"
    END = "end"


class PositionIds(enum.StrEnum):
    """Which position ids the zero-shot prompt gets when a vector is written into it."""

    RESET = "reset"
    """Count from 0, as in a prompt that never had a context."""
    KEEP = "keep"
    """Those that the same tokens have at the end of the context the vector was read from."""


@dataclass(frozen=True)
class Places:
    """Some tokens of every row of a prompt, from left to right."""

    index: slice | tuple[int, ...] | Int[Tensor, "batch token"]
    """Their positions: the same in all rows, evenly spaced or not, or an index for each row."""
    count: int
    """Tokens in each row."""
    leftmost: int
    """The smallest position of any row, as a Python number."""

    @classmethod
    def aligned(cls, positions: Sequence[int]) -> "Places":
        """Places that are the same in all rows, in ascending order."""
        steps = {after - before for before, after in pairwise(positions)}
        leftmost = positions[0] if positions else 0
        if len(steps) > 1:
            return cls(tuple(positions), len(positions), leftmost)
        step = min(steps, default=1)
        spaced = slice(leftmost, leftmost + step * len(positions), step)
        return cls(spaced, len(positions), leftmost)

    def positions(self) -> tuple[int, ...]:
        """The positions, the same in all rows.

        Raises:
            InputError: rows differ.
        """
        if isinstance(self.index, Tensor):
            raise InputError(
                "These tokens stand elsewhere in each row, and one position for all is needed. "
                "Take a format of one token for each role."
            )
        if isinstance(self.index, slice):
            return tuple(range(self.index.start, self.index.stop, self.index.step))
        return self.index

    def only(self, occurrence: int) -> "Places":
        """One of the tokens, counted as in a list: -1 is the last."""
        if isinstance(self.index, Tensor):
            return Places(self.index[:, occurrence, None], 1, self.leftmost)
        return Places.aligned([self.positions()[occurrence]])

    def read(self, values: Shaped[Tensor, "batch position *d"]) -> Shaped[Tensor, "batch token *d"]:
        """The values at these tokens."""
        if isinstance(self.index, Tensor):
            rows = torch.arange(len(values), device=values.device)[:, None]
            return values[rows, self.index]
        return values[:, self.index if isinstance(self.index, slice) else list(self.index)]

    def write(
        self, values: Float[Tensor, "batch position d"], new: Float[Tensor, "batch token d"]
    ) -> Float[Tensor, "batch position d"]:
        """A copy of the values with `new` at these tokens."""
        if isinstance(self.index, Tensor):
            return values.scatter(1, self.index[..., None].expand_as(new), new)
        index = torch.tensor(self.positions(), device=values.device, dtype=torch.long)
        return values.index_copy(1, index, new)

    def after(self, left: int) -> "tuple[Places, slice]":
        """The places that remain when the tokens before position `left` are cut off.

        Returns:
            The places, counted from `left`, and which of the tokens they are.
        """
        if isinstance(self.index, Tensor):
            return Places(self.index - left, self.count, self.leftmost - left), slice(None)
        kept = [position - left for position in self.positions() if position >= left]
        return Places.aligned(kept), slice(self.count - len(kept), None)


@runtime_checkable
class Answers(Protocol):
    """Where a prompt is answered, and what the outputs there say."""

    @property
    def only(self) -> slice:
        """The positions whose outputs are needed."""
        ...

    def predictions(
        self, outputs: Float[Tensor, "batch needed d_out"]
    ) -> Float[Tensor, "batch answer d_y"]:
        """What the outputs at the positions `only` say, in terms of the task."""
        ...

    @property
    def last(self) -> "Answers":
        """The last of the answers alone."""
        ...

    def repeated(self, times: int) -> "Answers":
        """The answers of a prompt whose rows are repeated, "(time batch)"."""
        ...


@dataclass(frozen=True)
class OutputAnswers:
    """Answers of one token each, whose outputs are the predictions themselves."""

    only: slice

    def predictions(
        self, outputs: Float[Tensor, "batch answer d_y"]
    ) -> Float[Tensor, "batch answer d_y"]:
        """The outputs."""
        return outputs

    @property
    def last(self) -> "OutputAnswers":
        """The last token of the prompt."""
        return OutputAnswers(slice(-1, None))

    def repeated(self, times: int) -> "OutputAnswers":
        """The same: rows share their positions."""
        return self


@runtime_checkable
class Prompt(Protocol):
    """Token sequences, for `model(prompt.inputs, prompt.position_ids)`."""

    @property
    def inputs(self) -> Float[Tensor, "batch position d_in"] | Int[Tensor, "batch position"]:
        """A vector for each token, or its id."""
        ...

    @property
    def position_ids(self) -> Int[Tensor, "#batch position"]:
        """The position ids that the model sees."""
        ...

    @property
    def answers(self) -> Answers:
        """Where the prompt is answered: once for each context length that it holds."""
        ...

    @property
    def length(self) -> int:
        """Tokens in the longest row."""
        ...

    @property
    def present(self) -> tuple[Role, ...]:
        """The roles that the prompt has tokens of."""
        ...

    def places(self, role: Role) -> Places:
        """Where `role` stands, if the prompt has it; of several tokens, the last one counts."""
        ...

    @property
    def query(self) -> Places:
        """All tokens of the example that is asked last."""
        ...

    def alone(self) -> "Prompt":
        """The prompt of the tokens of the query only, position ids kept."""
        ...

    def repeated(self, times: int) -> "Prompt":
        """The prompt with its rows several times over: "(time batch)"."""
        ...

    def at(self, position_ids: Int[Tensor, "#batch position"]) -> "Prompt":
        """The same prompt with other position ids."""
        ...


def aligned(prompt: Prompt) -> "AlignedPrompt":
    """The prompt, if all its rows share one layout.

    Raises:
        InputError: they do not.
    """
    if not isinstance(prompt, AlignedPrompt):
        raise InputError(
            "This needs prompts whose rows share one layout, and here words differ in length. Take "
            "a format of one token for each role."
        )
    return prompt


@dataclass(frozen=True)
class AlignedPrompt:
    """Token sequences of one layout."""

    inputs: Float[Tensor, "batch position d_in"]
    """One vector per token."""
    position_ids: Int[Tensor, "#batch position"]
    roles: tuple[Role, ...]
    """The role of each token; the same for all rows."""
    answers: Answers
    """Where the prompt is answered."""
    query_tokens: int
    """Tokens of the query, which stands at the end."""

    @property
    def length(self) -> int:
        """Tokens in each row."""
        return len(self.roles)

    @property
    def present(self) -> tuple[Role, ...]:
        """The roles that the prompt has tokens of."""
        return tuple(dict.fromkeys(self.roles))

    def places(self, role: Role) -> Places:
        """Where the tokens of `role` stand."""
        return Places.aligned([index for index, each in enumerate(self.roles) if each is role])

    @property
    def query(self) -> Places:
        """The last tokens."""
        return Places.aligned(range(self.length - self.query_tokens, self.length))

    @property
    def occurrences(self) -> tuple[int, ...]:
        """Which of the tokens of its role each token is, counted from 0."""
        return tuple(self.roles[:index].count(role) for index, role in enumerate(self.roles))

    def repeated(self, times: int) -> "AlignedPrompt":
        """The prompt with its rows several times over: "(time batch)"."""
        ids = self.position_ids
        ids = ids if len(ids) == 1 else ids.repeat(times, 1)
        return replace(self, inputs=self.inputs.repeat(times, 1, 1), position_ids=ids)

    def at(self, position_ids: Int[Tensor, "#batch position"]) -> "AlignedPrompt":
        """The same prompt with other position ids."""
        return replace(self, position_ids=position_ids)

    def alone(self) -> "AlignedPrompt":
        """The prompt of the tokens of the query only, position ids kept."""
        count = self.query_tokens
        return AlignedPrompt(
            self.inputs[:, -count:],
            self.position_ids[:, -count:],
            self.roles[-count:],
            self.answers.last,
            count,
        )


@dataclass(frozen=True)
class RaggedPrompt:
    """Token ids in rows of different lengths, padded on the right.

    Where things stand was found on the host, and stays there until a device needs it.
    """

    inputs: Int[Tensor, "batch position"]
    """The id of each token; what stands behind the end of a row has no influence."""
    position_ids: Int[Tensor, "#batch position"]
    lengths: Int[np.ndarray, " batch"]
    """Tokens of each row without its padding."""
    spans: Mapping[Role, Int[np.ndarray, "batch occurrence 2"]]
    """Where the tokens of each role begin, and where they end (exclusive)."""
    starts: Int[np.ndarray, " batch"]
    """Where the query of each row begins."""
    answers: WordAnswers
    """Where the prompt is answered."""

    @property
    def length(self) -> int:
        """Tokens in the longest row."""
        return self.inputs.shape[1]

    @property
    def present(self) -> tuple[Role, ...]:
        """The roles that the prompt has tokens of."""
        return tuple(role for role, spans in self.spans.items() if spans.shape[1])

    def places(self, role: Role) -> Places:
        """Where `role` stands; of a role of several tokens, the last one counts."""
        if role not in self.present:
            return Places.aligned([])
        return self._places(self.spans[role][..., 1] - 1)

    @property
    def query(self) -> Places:
        """The tokens of the query; rows with fewer of them repeat their last one."""
        longest = (self.lengths - self.starts).max()
        index = self.starts[:, None] + np.arange(longest)
        return self._places(np.minimum(index, self.lengths[:, None] - 1))

    def repeated(self, times: int) -> "RaggedPrompt":
        """The prompt with its rows several times over: "(time batch)"."""
        return RaggedPrompt(
            self.inputs.repeat(times, 1),
            self.position_ids.expand_as(self.inputs).repeat(times, 1),
            np.tile(self.lengths, times),
            {role: np.tile(spans, (times, 1, 1)) for role, spans in self.spans.items()},
            np.tile(self.starts, times),
            self.answers.repeated(times),
        )

    def at(self, position_ids: Int[Tensor, "#batch position"]) -> "RaggedPrompt":
        """The same prompt with other position ids."""
        return replace(self, position_ids=position_ids)

    def alone(self) -> "RaggedPrompt":
        """The prompt of the tokens of the query only, position ids kept."""
        query, starts = self.query, self.starts[:, None, None]
        spans = {role: each[:, -1:] - starts for role, each in self.spans.items()}
        return RaggedPrompt(
            query.read(self.inputs),
            query.read(self.position_ids.expand_as(self.inputs)),
            self.lengths - self.starts,
            {role: each for role, each in spans.items() if (each >= 0).all()},
            np.zeros_like(self.starts),
            self.answers.last.moved(-self.starts),
        )

    def _places(self, index: Int[np.ndarray, "batch token"]) -> Places:
        return Places(
            torch.from_numpy(index).to(self.inputs.device), index.shape[1], int(index.min())
        )
