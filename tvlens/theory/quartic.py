"""What token dropout makes of the weights of examples in arrows: Proposition 5's objective.

Of Dong et al. (arXiv 2506.09048). The scale of L4 is free, so its shape is what makes this least.
"""

import enum
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Quartic(NamedTuple):
    """Constants of four sums of fourth powers of L4 (example, arrow)."""

    entries: float
    """Of `|L4|_4^4`: an example in a single arrow."""
    rows: float
    """Of the sum of `|row|^4`: an example with itself, in two arrows."""
    columns: float
    """Of the sum of `|column|^4`: two examples in one arrow."""
    gram: float
    """Of `|L4 L4^T|_F^2`: two examples in two arrows."""

    def of(self, mixing: Float[Tensor, "example arrow"]) -> Float[Tensor, ""]:
        """The value at an L4."""
        squares, gram = mixing.square(), mixing @ mixing.T
        return (
            self.entries * squares.square().sum()
            + self.rows * squares.sum(1).square().sum()
            + self.columns * squares.sum(0).square().sum()
            + self.gram * gram.square().sum()
        )

    def slope(self, mixing: Float[Tensor, "example arrow"]) -> Float[Tensor, "example arrow"]:
        """The derivative of `of`: a search asks for it many times."""
        squares = mixing.square()
        rows, columns = squares.sum(1, keepdim=True), squares.sum(0)
        own = self.entries * squares + self.rows * rows + self.columns * columns
        return 4 * (own * mixing + self.gram * mixing @ mixing.T @ mixing)


class DropoutConstants(enum.StrEnum):
    """Whose constants."""

    PAPER = "paper"
    """Those of the code of Figure 3c, for any d."""
    CORRECTED = "corrected"
    """Those of the mean over all masks, as in `dropout_risk`."""

    def quartic(self, d: int, keep: float) -> Quartic:
        """The constants, for x of width d and tokens that stay with probability `keep`."""
        p = keep
        if self is DropoutConstants.PAPER:
            both = p**3 * (1 - p)
            return Quartic(p**2 * (1 - p) ** 2, both, both, p**4)
        return Quartic(
            entries=2 * (p**3 - p**4 - p**5 + p**6),
            rows=2 * (p**4 - p**6),
            columns=d * (p**3 - p**4) + 2 * (p**5 - p**6),
            gram=d * p**4 + p**6,
        )
