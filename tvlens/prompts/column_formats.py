"""Formats whose tokens are columns of numbers, which a linear transformer reads as they are.

A linear transformer has no learned embedding: its residual stream is the data itself, one half for
x and one for y, and the answer is written on a token of its own at the end, which is empty. Formats
follow Dong et al. (arXiv 2506.09048), section 3, Theorems 1 and 2, and appendix A.4.
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
class ColumnFormat:
    """A way to lay out examples as columns.

    An input vector is the x half, then the y half, each of width d: a prompt is the transpose of
    the matrix Z of the paper. The query takes as many tokens as an example; what it does not show
    is 0. Its last token is the one that is read out.

    Attention may look both ways, so a context is no beginning of a longer one. Position ids count
    from the end, as in a Python list: the query of every prompt stands last, where a model looks
    for it, however many examples are shown.
    """

    name: str
    roles: tuple[Role, ...]
    """The tokens of an example. A single token that shows both x and y counts as x."""
    carrier: Role | None = None
    """The token that is empty in examples and query, and holds the task vector."""
    x_below: bool = False
    """Whether x stands in the half of y, so that a half does not tell which is which."""

    prefixes = False
    """Each context length takes a prompt of its own."""
    carrier_sees_query = True
    """Attention looks both ways."""
    position_ids = PositionIds.KEEP
    """A zero-shot prompt stands where the query of a context does."""

    def __post_init__(self) -> None:
        if not self.roles or len(set(self.roles)) != len(self.roles) or self.roles[0] is not Role.X:
            raise InputError(
                f"ColumnFormat {self.name!r} needs x first and no role twice, got "
                f"{'-'.join(self.roles)}."
            )
        if self.carrier is not None and self.carrier not in self.roles[1:-1]:
            raise InputError(
                f"ColumnFormat {self.name!r} needs its carrier between x and y, got "
                f"{str(self.carrier)!r} in {'-'.join(self.roles)}."
            )

    @property
    def query(self) -> tuple[Role, ...]:
        """The zero-shot prompt has all tokens of an example."""
        return self.roles

    @property
    def answer(self) -> Role:
        """The last token."""
        return self.roles[-1]

    @property
    def ordered(self) -> bool:
        """Whether a model needs positions: a single token says all by itself."""
        return len(self.roles) > 1

    def first_length(self, role: Role) -> int:
        """Every role is there without examples: that of the query.

        Raises:
            InputError: the format has no such role.
        """
        check_role(self, role)
        return 0

    def written_role(self, role: Role) -> Role:
        """The same role: a zero-shot prompt has them all."""
        return role

    def n_tokens(self, shots: int) -> int:
        """Tokens of a prompt of so many shots, the query included."""
        return len(self.roles) * shots

    def tokens(self, role: Role, shots: int) -> slice:
        """Where `role` stands: one token for each example, and then that of the query.

        Raises:
            InputError: the format has no such role.
        """
        check_role(self, role)
        return slice(self.roles.index(role), self.n_tokens(shots), len(self.roles))

    def d_in(self, d_x: int, d_y: int) -> int:
        """Width of an input vector: the x half and the y half."""
        return d_x + d_y

    def context(self, episodes: Episodes) -> AlignedPrompt:
        """All examples of the episodes but the last, which is the query, in one prompt.

        Raises:
            InputError: x and y differ in width, so that they cannot be halves of one stream.
        """
        check_one_width(episodes.x.shape[-1], episodes.y.shape[-1])
        return self._lay_out(episodes.x, episodes.y)

    def zero_shot(
        self,
        queries: Episodes,
        lengths: Int[Tensor, "#batch length"],
        position_ids: PositionIds | None = None,
    ) -> AlignedPrompt:
        """The query alone, for each episode and each context length n in `lengths`.

        Args:
            queries: example n of each episode is the one asked after n examples.
            lengths: context lengths; the rows of the prompt run over episodes, then lengths.
            position_ids: those of the end of a context, whatever its length.

        Raises:
            InputError: other position ids are asked for.
        """
        if position_ids is PositionIds.RESET:
            raise InputError(
                f"Format {self.name!r} keeps the positions of the end of a context, where a linear "
                "transformer looks for its query; take position_ids=keep, or None."
            )
        x = queries.x.take_along_dim(lengths[..., None], dim=1).flatten(0, 1)[:, None]
        return self._lay_out(x, torch.zeros_like(x))

    def _lay_out(
        self, x: Float[Tensor, "batch shot d"], y: Float[Tensor, "batch shot d"]
    ) -> AlignedPrompt:
        batch, shots, d = x.shape
        tokens = len(self.roles)
        inputs = x.new_zeros(batch, shots, tokens, 2, d)
        upper, lower = inputs.unbind(-2)
        (lower if self.x_below else upper)[:, :, 0] = x
        lower[:, :-1, -1] = y[:, :-1]
        return AlignedPrompt(
            inputs.flatten(3).flatten(1, 2),
            torch.arange(-tokens * shots, 0, device=x.device)[None],
            self.roles * shots,
            OutputAnswers(slice(-1, None)),
            tokens,
        )


def check_one_width(d_x: int, d_y: int) -> None:
    """Raise InputError unless x and y can be halves of one stream."""
    if d_x != d_y:
        raise InputError(
            f"A linear transformer needs x and y of one width, got {d_x} and {d_y}. Take a task of "
            "maps from R^d to R^d, as MatrixRegression."
        )


SINGLE = ColumnFormat("single", (Role.X,))
"""[x; y] in one token, the query as [x; 0], which is also the one that is read out."""

PAIRWISE = ColumnFormat("pairwise", (Role.X, Role.Y))
"""[x; 0] [0; y], the query as [x; 0] [0; 0]."""

TRIPLET = ColumnFormat("triplet", (Role.X, Role.ARROW, Role.Y), carrier=Role.ARROW)
"""[x; 0] [0; 0] [0; y] with an empty arrow between, the query as [x; 0] [0; 0] [0; 0]."""

INSEPARABLE = ColumnFormat("inseparable", (Role.X, Role.Y), x_below=True)
"""[0; x] [0; y], the query as [0; x] [0; 0]: where a half does not tell x from y."""

COLUMN_FORMATS = (SINGLE, PAIRWISE, TRIPLET, INSEPARABLE)
"""Those that come with tvlens."""
