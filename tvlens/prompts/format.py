"""What a prompt format is: how examples become a prompt, and where the task vector stands in it.

Three kinds are known: tokens with a learned embedding (`token_formats`), columns of numbers that a
linear transformer reads as they are (`column_formats`), and text (`text_formats`).
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts.episodes import Episodes
from tvlens.prompts.prompt import PositionIds, Prompt, Role


@runtime_checkable
class Format(Protocol):
    """A way to lay out examples as a prompt.

    *Shots* counts all examples of an episode, the one to be answered last included. Context length
    n means that n complete examples stand before the query.
    """

    @property
    def name(self) -> str:
        """What figures, files and command lines call it."""
        ...

    @property
    def roles(self) -> tuple[Role, ...]:
        """Every role that a vector can be read at, in the order of an example."""
        ...

    @property
    def query(self) -> tuple[Role, ...]:
        """The roles of the zero-shot prompt, in their order."""
        ...

    @property
    def carrier(self) -> Role | None:
        """The role whose residual stream holds the task vector; None if no token can hold it."""
        ...

    @property
    def answer(self) -> Role:
        """The role at which the prediction of y is read."""
        ...

    @property
    def carrier_sees_query(self) -> bool:
        """Whether the carrier sees the x that it answers, so that a vector read there knows that x
        and may only be tested on another.
        """
        ...

    @property
    def prefixes(self) -> bool:
        """Whether a context is the beginning of each longer one, so that a causal model runs all
        lengths in one pass. Otherwise each length takes a pass of its own.
        """
        ...

    @property
    def position_ids(self) -> PositionIds:
        """The position ids that a zero-shot prompt takes when none are asked for."""
        ...

    def first_length(self, role: Role) -> int:
        """The shortest context that has a token of `role` at or before its answer.

        Raises:
            InputError: the format has no such role.
        """
        ...

    def written_role(self, role: Role) -> Role:
        """Where a vector read at `role` goes in the zero-shot prompt: the token of the same role,
        or the carrier for a role that a zero-shot prompt does not have.
        """
        ...

    def n_tokens(self, shots: int) -> int:
        """Tokens of a prompt of so many shots; the most there can be where words differ."""
        ...

    def context(self, episodes: Episodes) -> Prompt:
        """All examples of the episodes in one prompt, up to the answer to the last one.

        The prompt is answered once for each context length that it holds: 0 .. shots - 1 if the
        format has `prefixes`, else shots - 1 only.
        """
        ...

    def zero_shot(
        self,
        queries: Episodes,
        lengths: Int[Tensor, "#batch length"],
        position_ids: PositionIds | None = None,
    ) -> Prompt:
        """A prompt without context for each episode and each context length n in `lengths`.

        Args:
            queries: example n of each episode is the one asked after n examples.
            lengths: context lengths; the rows of the prompt run over episodes, then lengths:
                "(batch length)".
            position_ids: those of the format if None.
        """
        ...


def carrier_of(format: Format) -> Role:
    """The carrier of a format.

    Raises:
        InputError: it has none.
    """
    if format.carrier is None:
        raise InputError(
            f"Format {format.name!r} has no carrier: none of its tokens ({', '.join(format.roles)})"
            " is empty, so no vector can stand in for the context. Take a format that has one, "
            "such as triplet, arrow or zxy."
        )
    return format.carrier


def check_role(format: Format, role: Role) -> None:
    """Raise InputError unless the format has a role."""
    if role not in format.roles:
        raise InputError(
            f"Format {format.name!r} has no token {str(role)!r}; its roles are "
            f"{', '.join(format.roles)}."
        )
