"""What a batch of in-context learning is, and where each of its tokens stands in a prompt.

This is the only file that does position arithmetic. A prompt format is data: which tokens one
example takes, what a zero-shot prompt looks like, which token carries the task vector and which one
answers. Formats follow Yang et al. (arXiv 2501.09240).
"""

import enum
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.errors import InputError


class Role(enum.StrEnum):
    """What a token stands for. The value is the name shown in figures and files."""

    X = "x"
    Y = "y"
    Z = "z"
    ARROW = "arrow"


class PositionIds(enum.StrEnum):
    """Which position ids the zero-shot prompt gets when a vector is written into it."""

    RESET = "reset"
    """Count from 0, as in a prompt that never had a context."""
    KEEP = "keep"
    """Those that the same tokens have at the end of the context the vector was read from."""


@dataclass(frozen=True)
class Episodes:
    """A batch of in-context learning problems: one task each, and the examples drawn from it."""

    x: Float[Tensor, "batch shot d_x"]
    """Inputs. Symbols are one-hot vectors."""
    y: Float[Tensor, "batch shot d_y"]
    """Outputs as a context shows them, label noise included."""
    target: Float[Tensor, "batch shot d_y"]
    """Outputs as a prediction is scored against them: without noise."""
    params: Float[Tensor, "batch d_params"]
    """What defines each task: weights, amplitude and phase, offset."""

    @property
    def batch(self) -> int:
        """Number of episodes."""
        return self.x.shape[0]

    @property
    def shots(self) -> int:
        """Number of examples in each episode."""
        return self.x.shape[1]

    def __getitem__(self, rows: slice) -> "Episodes":
        """Some of the episodes."""
        return Episodes(self.x[rows], self.y[rows], self.target[rows], self.params[rows])

    def some_shots(self, shots: slice) -> "Episodes":
        """The same episodes with some of their examples."""
        return Episodes(self.x[:, shots], self.y[:, shots], self.target[:, shots], self.params)


@dataclass(frozen=True)
class Prompt:
    """Token sequences of one layout, for `model(prompt.inputs, prompt.position_ids)`."""

    inputs: Float[Tensor, "batch position d_in"]
    """One vector per token: slots for y, slots for x, then one slot per role that is 1 for its
    tokens. A linear read-in thus gives every role a learned embedding."""
    position_ids: Int[Tensor, "#batch position"]
    roles: tuple[Role, ...]
    """The role of each token; the same for all rows."""

    def positions(self, role: Role) -> list[int]:
        """Where the tokens of `role` stand, from left to right."""
        return [index for index, each in enumerate(self.roles) if each is role]

    @property
    def occurrences(self) -> tuple[int, ...]:
        """Which of the tokens of its role each token is, counted from 0."""
        return tuple(self.roles[:index].count(role) for index, role in enumerate(self.roles))

    def repeated(self, times: int) -> "Prompt":
        """The prompt with its rows several times over: "(time batch)"."""
        ids = self.position_ids
        ids = ids if len(ids) == 1 else ids.repeat(times, 1)
        return Prompt(self.inputs.repeat(times, 1, 1), ids, self.roles)

    def last(self, count: int) -> "Prompt":
        """The prompt of the last `count` tokens only, position ids kept."""
        return Prompt(self.inputs[:, -count:], self.position_ids[:, -count:], self.roles[-count:])


@dataclass(frozen=True)
class PromptFormat:
    """A way to lay out examples as tokens.

    A context is `shot` repeated, cut off after the answer token of the last example, which is the
    one to be answered. The `carrier` of context length n is the last carrier token at or before the
    answer to example n + 1, so n complete examples stand before it.
    """

    name: str
    shot: tuple[Role, ...]
    """The tokens of one complete example."""
    query: tuple[Role, ...]
    """The zero-shot prompt: an example up to its answer token, with the carrier in it."""
    carrier: Role
    """The token whose residual stream holds the task vector."""
    answer: Role
    """The token at which the prediction of y is read."""

    def __post_init__(self) -> None:
        problem = None
        if len(set(self.shot)) != len(self.shot) or not {Role.X, Role.Y} <= set(self.shot):
            problem = "a shot needs x, y and no role twice"
        elif not set(self.query) <= set(self.shot) - {Role.Y}:
            problem = "the query may only hold roles of the shot, and never y"
        elif Role.X not in self.query or self.carrier not in self.query:
            problem = "the query needs x and the carrier"
        elif self.query[-1] is not self.answer:
            problem = "the query must end with the answer token"
        elif self.shot.index(Role.Y) < self.shot.index(self.answer):
            problem = "y must stand after the answer token, which would see it"
        elif self.query != self._cycle[-len(self.query) :]:
            problem = "the query must be the tokens that lead to the answer when shots repeat"
        if problem:
            raise InputError(
                f"PromptFormat {self.name!r} (shot {'-'.join(self.shot)}, query "
                f"{'-'.join(self.query)}) cannot be laid out: {problem}."
            )

    @property
    def _cycle(self) -> tuple[Role, ...]:
        """Two shots' worth of tokens, ending with the answer token."""
        return self.shot + self.shot[: self.shot.index(self.answer) + 1]

    @property
    def roles(self) -> tuple[Role, ...]:
        """Every role of the format, in the order of a shot."""
        return self.shot

    @property
    def first_length(self) -> int:
        """The shortest context that has a carrier: 0, or 1 where the carrier ends a shot."""
        return int(self.shot.index(self.carrier) > self.shot.index(self.answer))

    @property
    def carrier_sees_query(self) -> bool:
        """Whether the carrier stands at or after the x it answers, so that a vector read there
        knows that x and may only be tested on another.
        """
        return self.query.index(self.carrier) >= self.query.index(Role.X)

    def d_in(self, d_x: int, d_y: int) -> int:
        """Width of an input vector: y slots, x slots, role slots."""
        return d_y + d_x + len(self.roles)

    def n_tokens(self, shots: int) -> int:
        """Tokens of a context of `shots` examples, the last of them unanswered."""
        return len(self.shot) * (shots - 1) + self.shot.index(self.answer) + 1

    def answers(self, shots: int) -> slice:
        """Positions of the answer tokens: one for each context length 0 .. shots - 1."""
        return slice(self.shot.index(self.answer), self.n_tokens(shots), len(self.shot))

    def tokens(self, role: Role, shots: int) -> tuple[slice, int]:
        """Where `role` can be read, and the first context length that it can be read at.

        The tokens are one for each context length from there to `shots` - 1: the last token of the
        role at or before that length's answer.

        Raises:
            InputError: the format has no such role.
        """
        if role not in self.shot:
            raise InputError(
                f"Format {self.name!r} has no token {str(role)!r}; its roles are "
                f"{', '.join(self.roles)}."
            )
        offset = self.shot.index(role)
        first = int(offset > self.shot.index(self.answer))
        return slice(offset, self.n_tokens(shots), len(self.shot)), first

    def written_role(self, role: Role) -> Role:
        """Where a vector read at `role` goes in the zero-shot prompt: the token of the same role,
        or the carrier for a role (y) that a zero-shot prompt does not have.
        """
        return role if role in self.query else self.carrier

    def context(self, episodes: Episodes) -> Prompt:
        """All examples of the episodes in one prompt, up to the answer token of the last one."""
        inputs = self._blank(episodes.batch, episodes.shots, self.shot, like=episodes)
        inputs[:, :, self.shot.index(Role.Y), _y_slots(episodes)] = episodes.y
        inputs[:, :, self.shot.index(Role.X), _x_slots(episodes)] = episodes.x
        length = self.n_tokens(episodes.shots)
        return Prompt(
            inputs.flatten(1, 2)[:, :length],
            torch.arange(length, device=inputs.device)[None],
            (self.shot * episodes.shots)[:length],
        )

    def zero_shot(
        self,
        queries: Episodes,
        lengths: Int[Tensor, "#batch length"],
        position_ids: PositionIds = PositionIds.RESET,
    ) -> Prompt:
        """A prompt without context for each episode and each context length n in `lengths`.

        Args:
            queries: example n of each episode is the one asked after n examples.
            lengths: context lengths; the rows of the prompt run over episodes, then lengths:
                "(batch length)".
            position_ids: counted from 0, or as at the end of a context of n examples.
        """
        x = queries.x.take_along_dim(lengths[..., None], dim=1)
        inputs = self._blank(x.shape[0], x.shape[1], self.query, like=queries)
        inputs[:, :, self.query.index(Role.X), _x_slots(queries)] = x
        ids = torch.arange(len(self.query), device=x.device)[None]
        if position_ids is PositionIds.KEEP:
            ends = len(self.shot) * lengths + self.shot.index(self.answer) + 1
            starts = (ends - len(self.query)).clamp_min(0).expand(x.shape[:2]).flatten()
            ids = starts[:, None] + ids
        return Prompt(inputs.flatten(0, 1), ids, self.query)

    def _blank(
        self, batch: int, shots: int, roles: tuple[Role, ...], like: Episodes
    ) -> Float[Tensor, "batch shot token d_in"]:
        """Tokens that show their role and nothing else."""
        d_x, d_y = like.x.shape[-1], like.y.shape[-1]
        inputs = like.x.new_zeros(batch, shots, len(roles), self.d_in(d_x, d_y))
        for token, role in enumerate(roles):
            inputs[:, :, token, d_y + d_x + self.roles.index(role)] = 1.0
        return inputs


def _y_slots(episodes: Episodes) -> slice:
    return slice(0, episodes.y.shape[-1])


def _x_slots(episodes: Episodes) -> slice:
    return slice(episodes.y.shape[-1], episodes.y.shape[-1] + episodes.x.shape[-1])


ZXY = PromptFormat("zxy", (Role.Z, Role.X, Role.Y), (Role.Z, Role.X), Role.Z, Role.X)
"""z x1 y1 z x2 y2 .. z x: z carries and has not seen the query, x answers."""

ARROW = PromptFormat(
    "arrow", (Role.X, Role.ARROW, Role.Y), (Role.X, Role.ARROW), Role.ARROW, Role.ARROW
)
"""x1 -> y1 x2 -> y2 .. x ->: the arrow carries and answers, and has seen its own x."""

XY = PromptFormat("xy", (Role.X, Role.Y), (Role.X,), Role.X, Role.X)
"""x1 y1 x2 y2 .. x: no special token. A vector written on x replaces the query itself."""

XYZ = PromptFormat("xyz", (Role.X, Role.Y, Role.Z), (Role.Z, Role.X), Role.Z, Role.X)
"""x1 y1 z x2 y2 z .. x: the special token closes an example, and no context begins with it."""

FORMATS = (ZXY, ARROW, XY, XYZ)
"""The formats that come with tvlens, for command lines."""
