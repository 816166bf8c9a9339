"""Regression with vectors as outputs: y = W x (Dong et al., arXiv 2506.09048, section 3)."""

from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.base import add_gaussian_noise, linear_posterior_mean
from tvlens.tasks.covariance import Covariance, check_covariance, covariance_power
from tvlens.tasks.regression import Regression


@kind
@dataclass(frozen=True)
class MatrixRegression(Regression):
    """x ~ N(0, S) and W of d independent rows ~ N(0, S^-1); params are the rows of W."""

    d: int = 4
    """Dimension of x, and of y."""
    covariance: Covariance = ()
    """S; the identity if empty."""
    noise: float = 0.0
    """Standard deviation of the label noise in a context; targets stay clean."""

    def __post_init__(self) -> None:
        if self.d < 1 or self.noise < 0:
            raise InputError(f"MatrixRegression needs d >= 1 and noise >= 0, got {self}.")
        check_covariance(self.covariance, self.d)

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
        """`E |y|^2 = d^2`, whatever the covariance."""
        return float(self.d**2)

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw maps."""
        white = torch.randn(batch, self.d, self.d, generator=generator, device=generator.device)
        return self._unwhitened(white).flatten(1)

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d"]:
        """Draw inputs."""
        white = torch.randn(
            len(params), shots, self.d, generator=generator, device=generator.device
        )
        return white @ covariance_power(self.covariance, self.d, 0.5, white)

    def apply(
        self, params: Float[Tensor, "batch d_params"], x: Float[Tensor, "batch shot d"]
    ) -> Float[Tensor, "batch shot d"]:
        """W x."""
        return x @ params.unflatten(1, (self.d, self.d)).mT

    def corrupt(
        self, y: Float[Tensor, "batch shot d"], *, generator: Generator
    ) -> Float[Tensor, "batch shot d"]:
        """Add Gaussian label noise."""
        return add_gaussian_noise(y, self.noise, generator=generator)

    def oracle(
        self,
        x: Float[Tensor, "batch shot d"],
        y: Float[Tensor, "batch shot d"],
        query: Float[Tensor, "batch query d"],
    ) -> Float[Tensor, "batch query d"]:
        """The posterior mean: for each row of W ridge regression on whitened inputs, with penalty
        noise^2; without noise, the least squares that are smallest there.
        """
        return self.apply(self.estimate(x, y), query)

    def estimate(
        self, x: Float[Tensor, "batch shot d"], y: Float[Tensor, "batch shot d"]
    ) -> Float[Tensor, "batch d_params"]:
        """The posterior mean of W."""
        white = x @ covariance_power(self.covariance, self.d, -0.5, x)
        rows = linear_posterior_mean(
            repeat(white, "batch shot d -> (batch row) shot d", row=self.d),
            rearrange(y, "batch shot row -> (batch row) shot 1"),
            mean=x.new_zeros(self.d),
            std=x.new_ones(self.d),
            noise=self.noise,
        )
        return self._unwhitened(rows.unflatten(0, (-1, self.d))).flatten(1)

    def _unwhitened(self, maps: Float[Tensor, "batch d d"]) -> Float[Tensor, "batch d d"]:
        """Maps of x, from those of S^-1/2 x."""
        return maps @ covariance_power(self.covariance, self.d, -0.5, maps)


@kind
@dataclass(frozen=True)
class LowRankRegression(MatrixRegression):
    """The same with W = U V^T / sqrt(rank), U and the rows of V^T Gaussian: maps of a given rank.

    A task vector that acts as one example can hold rank one and no more (arXiv 2506.09048, section
    4). The oracle is that of any W: seen directions say nothing of the others, where V is
    independent and has mean 0. With noise that fails, so there is none.
    """

    rank: int = 1
    """Rank of W, 1 to d."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rank <= self.d or self.noise:
            raise InputError(
                f"LowRankRegression needs 1 <= rank <= d and noise = 0, where its oracle is the "
                f"best predictor, got {self}."
            )

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw maps."""
        shape = (2, batch, self.d, self.rank)
        left, right = torch.randn(shape, generator=generator, device=generator.device)
        return self._unwhitened(left @ right.mT / self.rank**0.5).flatten(1)
