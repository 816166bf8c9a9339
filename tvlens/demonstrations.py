"""How examples become the columns that a linear transformer reads.

A `PromptFormat` (see `tvlens.prompts`) embeds every token by a learned read-in. A linear
transformer has none: its residual stream is the data itself, one half for x and one for y, and the
answer is written on a token of its own at the end, which is empty. Formats follow Dong et al.
(arXiv 2506.09048), section 3, Theorems 1 and 2, and appendix A.4.
"""

import enum

import torch
from jaxtyping import Float
from torch import Tensor

from tvlens.errors import InputError
from tvlens.prompts import Episodes, Prompt, Role


class DemonstrationFormat(enum.StrEnum):
    """Which tokens an example takes. The query takes as many; what it does not show is 0.

    An input vector is the x half, then the y half, each of width d: a prompt is the transpose of
    the matrix Z of the paper. The last token is the one that is read out.
    """

    SINGLE = "single"
    """[x; y] in one token, the query as [x; 0], which is also the one that is read out."""
    PAIRWISE = "pairwise"
    """[x; 0] [0; y], the query as [x; 0] [0; 0]."""
    TRIPLET = "triplet"
    """[x; 0] [0; 0] [0; y] with an empty arrow between, the query as [x; 0] [0; 0] [0; 0]."""
    INSEPARABLE = "inseparable"
    """[0; x] [0; y], the query as [0; x] [0; 0]: where a half does not tell x from y."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """The tokens of an example. The one token of `SINGLE`, which shows both, counts as x."""
        return _ROLES[self]

    @property
    def ordered(self) -> bool:
        """Whether a model needs positions: in `SINGLE`, tokens say all by themselves."""
        return self is not DemonstrationFormat.SINGLE

    def n_tokens(self, examples: int) -> int:
        """Tokens of a prompt of this many examples and a query."""
        return len(self.roles) * (examples + 1)

    def tokens(self, role: Role, examples: int) -> slice:
        """Where `role` stands: one token for each example, and then that of the query.

        Raises:
            InputError: the format has no such role.
        """
        if role not in self.roles:
            raise InputError(
                f"{self.name} demonstrations have no token {str(role)!r}; their roles are "
                f"{', '.join(self.roles)}."
            )
        return slice(self.roles.index(role), self.n_tokens(examples), len(self.roles))

    @property
    def carrier(self) -> Role:
        """The token that holds task vectors.

        Raises:
            InputError: there is none but in `TRIPLET`, whose arrows are empty.
        """
        if self is not DemonstrationFormat.TRIPLET:
            raise InputError(f"{self.name} demonstrations have no empty token; take TRIPLET.")
        return Role.ARROW

    def context(self, episodes: Episodes, of: int | None = None) -> Prompt:
        """All examples of the episodes but the last, which is the query, in one prompt.

        Args:
            episodes: their last y is not shown.
            of: the examples of a longer prompt, of which this one has the last positions: a prompt
                of one example, or of the query alone, then is where a model looks for them. Its
                own if None.

        Raises:
            InputError: x and y differ in width, so that they cannot be halves of one stream; or
                there are more examples than `of`.
        """
        d = episodes.x.shape[-1]
        if episodes.y.shape[-1] != d:
            raise InputError(
                f"A linear transformer needs x and y of one width, got {d} and "
                f"{episodes.y.shape[-1]}. Take a task of maps from R^d to R^d, as MatrixRegression."
            )
        missing = 0 if of is None else of + 1 - episodes.shots
        if missing < 0:
            raise InputError(
                f"A prompt of {episodes.shots - 1} examples is no end of one of {of} examples; "
                "give fewer."
            )
        return self._lay_out(episodes.x, episodes.y, missing)

    def _lay_out(
        self, x: Float[Tensor, "batch shot d"], y: Float[Tensor, "batch shot d"], before: int
    ) -> Prompt:
        batch, shots, d = x.shape
        tokens = len(self.roles)
        inputs = x.new_zeros(batch, shots, tokens, 2, d)
        upper, lower = inputs.unbind(-2)
        (lower if self is DemonstrationFormat.INSEPARABLE else upper)[:, :, 0] = x
        lower[:, :-1, -1] = y[:, :-1]
        return Prompt(
            inputs.flatten(3).flatten(1, 2),
            torch.arange(tokens * before, tokens * (before + shots), device=x.device)[None],
            self.roles * shots,
        )


_ROLES = {
    DemonstrationFormat.SINGLE: (Role.X,),
    DemonstrationFormat.PAIRWISE: (Role.X, Role.Y),
    DemonstrationFormat.TRIPLET: (Role.X, Role.ARROW, Role.Y),
    DemonstrationFormat.INSEPARABLE: (Role.X, Role.Y),
}
