"""Formats whose tokens get a learned embedding: one token for x, one for y, and special ones.

A format is data: which tokens one example takes, what a zero-shot prompt looks like, which token
carries the task vector and which one answers. Formats follow Yang et al. (arXiv 2501.09240).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.prompts.episodes import Episodes
from tvlens.prompts.format import check_role
from tvlens.prompts.prompt import AlignedPrompt, OutputAnswers, PositionIds, Role


@kind
@dataclass(frozen=True)
class TokenFormat:
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
                f"TokenFormat {self.name!r} (shot {'-'.join(self.shot)}, query "
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

    prefixes = True
    """A context is the beginning of each longer one."""
    position_ids = PositionIds.RESET
    """A zero-shot prompt counts from 0."""

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

    def first_length(self, role: Role) -> int:
        """The shortest context that has a token of `role` at or before its answer: 0, or 1 for a
        role that stands behind the answer token.

        Raises:
            InputError: the format has no such role.
        """
        check_role(self, role)
        return int(self.shot.index(role) > self.shot.index(self.answer))

    def written_role(self, role: Role) -> Role:
        """Where a vector read at `role` goes in the zero-shot prompt: the token of the same role,
        or the carrier for a role (y) that a zero-shot prompt does not have.
        """
        return role if role in self.query else self.carrier

    def context(self, episodes: Episodes) -> AlignedPrompt:
        """All examples of the episodes in one prompt, up to the answer token of the last one."""
        inputs = self._blank(episodes.batch, episodes.shots, self.shot, like=episodes)
        inputs[:, :, self.shot.index(Role.Y), _y_slots(episodes)] = episodes.y
        inputs[:, :, self.shot.index(Role.X), _x_slots(episodes)] = episodes.x
        length = self.n_tokens(episodes.shots)
        return AlignedPrompt(
            inputs.flatten(1, 2)[:, :length],
            torch.arange(length, device=inputs.device)[None],
            (self.shot * episodes.shots)[:length],
            OutputAnswers(slice(self.shot.index(self.answer), length, len(self.shot))),
            len(self.query),
        )

    def zero_shot(
        self,
        queries: Episodes,
        lengths: Int[Tensor, "#batch length"],
        position_ids: PositionIds | None = None,
    ) -> AlignedPrompt:
        """A prompt without context for each episode and each context length n in `lengths`.

        Args:
            queries: example n of each episode is the one asked after n examples.
            lengths: context lengths; the rows of the prompt run over episodes, then lengths:
                "(batch length)".
            position_ids: counted from 0 (also if None), or as at the end of a context of n
                examples.
        """
        x = queries.x.take_along_dim(lengths[..., None], dim=1)
        inputs = self._blank(x.shape[0], x.shape[1], self.query, like=queries)
        inputs[:, :, self.query.index(Role.X), _x_slots(queries)] = x
        ids = torch.arange(len(self.query), device=x.device)[None]
        if position_ids is PositionIds.KEEP:
            ends = len(self.shot) * lengths + self.shot.index(self.answer) + 1
            starts = (ends - len(self.query)).clamp_min(0).expand(x.shape[:2]).flatten()
            ids = starts[:, None] + ids
        last = OutputAnswers(slice(-1, None))
        return AlignedPrompt(inputs.flatten(0, 1), ids, self.query, last, len(self.query))

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


ZXY = TokenFormat("zxy", (Role.Z, Role.X, Role.Y), (Role.Z, Role.X), Role.Z, Role.X)
"""z x1 y1 z x2 y2 .. z x: z carries and has not seen the query, x answers."""

ARROW = TokenFormat(
    "arrow", (Role.X, Role.ARROW, Role.Y), (Role.X, Role.ARROW), Role.ARROW, Role.ARROW
)
"""x1 -> y1 x2 -> y2 .. x ->: the arrow carries and answers, and has seen its own x."""

XY = TokenFormat("xy", (Role.X, Role.Y), (Role.X,), Role.X, Role.X)
"""x1 y1 x2 y2 .. x: no special token. A vector written on x replaces the query itself."""

XYZ = TokenFormat("xyz", (Role.X, Role.Y, Role.Z), (Role.Z, Role.X), Role.Z, Role.X)
"""x1 y1 z x2 y2 z .. x: the special token closes an example, and no context begins with it."""

TOKEN_FORMATS = (ZXY, ARROW, XY, XYZ)
"""Those that come with tvlens."""
