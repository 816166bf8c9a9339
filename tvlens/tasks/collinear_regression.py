"""Regression on a line: what a sign is enough for."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.matrix_regression import MatrixRegression
from tvlens.tasks.regression import Regression


@kind
@dataclass(frozen=True)
class CollinearRegression(Regression):
    """y = w a^T x for x = s a; w, a and s are Gaussian, params are w, then a.

    All x of a function lie on one line, and all y on another. A linear transformer that is blind to
    the choice of coordinates then answers on the line of w, and only the sign of its answer can be
    wrong in direction. It is what the code of arXiv 2506.09048 draws for its figure 4c; for rank
    one with inputs in all directions see `LowRankRegression`.
    """

    d: int = 4
    """Dimension of x, and of y."""

    def __post_init__(self) -> None:
        if self.d < 1:
            raise InputError(f"CollinearRegression needs d >= 1, got {self}.")

    @property
    def d_x(self) -> int:
        """Width of an input."""
        return self.d

    @property
    def d_y(self) -> int:
        """Width of an output."""
        return self.d

    @property
    def scale(self) -> float:
        """`E |y|^2 = E |w|^2 E |a|^4`."""
        return float(self.d * self.d * (self.d + 2))

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw w and a."""
        return torch.randn(batch, 2 * self.d, generator=generator, device=generator.device)

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d"]:
        """Draw points on the line of a."""
        shape = (len(params), shots, 1)
        s = torch.randn(shape, generator=generator, device=generator.device)
        return s * params[:, None, self.d :]

    def apply(
        self, params: Float[Tensor, "batch d_params"], x: Float[Tensor, "batch shot d"]
    ) -> Float[Tensor, "batch shot d"]:
        """The part of x along a, times w."""
        w, a = params[:, None].split(self.d, -1)
        return (x * a).sum(-1, keepdim=True) * w

    def oracle(
        self,
        x: Float[Tensor, "batch shot d"],
        y: Float[Tensor, "batch shot d"],
        query: Float[Tensor, "batch query d"],
    ) -> Float[Tensor, "batch query d"]:
        """Exact from one example on, and 0 without: w has mean 0."""
        return MatrixRegression(self.d).oracle(x, y, query)
