"""Linear regression: y = w . x with Gaussian w and x (Garg et al., arXiv 2208.01066)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.base import add_gaussian_noise, linear_posterior_mean
from tvlens.tasks.parameters import Parameter
from tvlens.tasks.regression import Regression


@kind
@dataclass(frozen=True)
class LinearRegression(Regression):
    """w ~ N(0, I_d), x ~ N(0, I_d), y = w . x; params are w."""

    d: int = 5
    """Dimension of x."""
    noise: float = 0.0
    """Standard deviation of the label noise in a context; targets stay clean."""

    def __post_init__(self) -> None:
        if self.d < 1 or self.noise < 0:
            raise InputError(f"LinearRegression needs d >= 1 and noise >= 0, got {self}.")

    @property
    def d_x(self) -> int:
        """Width of an input."""
        return self.d

    @property
    def d_y(self) -> int:
        """Outputs are scalars."""
        return 1

    @property
    def scale(self) -> float:
        """E y^2 = d, so a normalised error is MSE / d."""
        return float(self.d)

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d"]:
        """Draw weights."""
        return torch.randn(batch, self.d, generator=generator, device=generator.device)

    def sample_inputs(
        self, params: Float[Tensor, "batch d"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d"]:
        """Draw inputs."""
        return torch.randn(len(params), shots, self.d, generator=generator, device=generator.device)

    def apply(
        self, params: Float[Tensor, "batch d"], x: Float[Tensor, "batch shot d"]
    ) -> Float[Tensor, "batch shot 1"]:
        """W . x."""
        return x @ params[:, :, None]

    def corrupt(
        self, y: Float[Tensor, "batch shot 1"], *, generator: Generator
    ) -> Float[Tensor, "batch shot 1"]:
        """Add Gaussian label noise."""
        return add_gaussian_noise(y, self.noise, generator=generator)

    def oracle(
        self,
        x: Float[Tensor, "batch shot d"],
        y: Float[Tensor, "batch shot 1"],
        query: Float[Tensor, "batch query d"],
    ) -> Float[Tensor, "batch query 1"]:
        """The posterior mean: ridge with penalty noise^2; without noise, least squares."""
        return self.apply(self.estimate(x, y), query)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The weights, which are also what a probe looks for."""
        return tuple(Parameter(f"w{index}") for index in range(1, self.d + 1))

    def estimate(
        self, x: Float[Tensor, "batch shot d"], y: Float[Tensor, "batch shot 1"]
    ) -> Float[Tensor, "batch d"]:
        """The posterior mean of the weights."""
        mean, std = x.new_zeros(self.d), x.new_ones(self.d)
        return linear_posterior_mean(x, y, mean=mean, std=std, noise=self.noise)
