"""Sinusoidal regression: y = A sin(x + phase) (the benchmark of Finn et al., arXiv 1703.03400)."""

import math
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
class Sinusoid(Regression):
    """A ~ U(amplitude_min, amplitude_max), phase ~ U(0, pi), x ~ U(-x_max, x_max).

    y = A sin(x + phase) = a sin x + b cos x with a = A cos(phase) and b = A sin(phase), so two
    clean examples determine the function. Params are A and the phase.
    """

    amplitude_min: float = 0.1
    """Smallest amplitude."""
    amplitude_max: float = 5.0
    """Largest amplitude."""
    x_max: float = 5.0
    """Inputs lie between -x_max and x_max."""
    noise: float = 0.0
    """Standard deviation of the label noise in a context; targets stay clean."""

    def __post_init__(self) -> None:
        if not 0 <= self.amplitude_min < self.amplitude_max or self.x_max <= 0 or self.noise < 0:
            raise InputError(
                "Sinusoid needs 0 <= amplitude_min < amplitude_max, x_max > 0 and noise >= 0, "
                f"got {self}."
            )

    @property
    def d_x(self) -> int:
        """Inputs are scalars."""
        return 1

    @property
    def d_y(self) -> int:
        """Outputs are scalars."""
        return 1

    @property
    def scale(self) -> float:
        """Var(y) over functions and inputs: 4.15 with the defaults."""
        mean = self._mean_amplitude * (2 / math.pi) * math.sin(self.x_max) / self.x_max
        return self._mean_square_amplitude / 2 - mean**2

    @property
    def _mean_amplitude(self) -> float:
        return (self.amplitude_min + self.amplitude_max) / 2

    @property
    def _mean_square_amplitude(self) -> float:
        low, high = self.amplitude_min, self.amplitude_max
        return (low**2 + low * high + high**2) / 3

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch 2"]:
        """Draw amplitudes and phases."""
        uniform = torch.rand(batch, 2, generator=generator, device=generator.device)
        span = self.amplitude_max - self.amplitude_min
        return torch.cat([uniform[:, :1] * span + self.amplitude_min, uniform[:, 1:] * math.pi], 1)

    def sample_inputs(
        self, params: Float[Tensor, "batch 2"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot 1"]:
        """Draw inputs."""
        uniform = torch.rand(len(params), shots, 1, generator=generator, device=generator.device)
        return self.x_max * (2 * uniform - 1)

    def apply(
        self, params: Float[Tensor, "batch 2"], x: Float[Tensor, "batch shot 1"]
    ) -> Float[Tensor, "batch shot 1"]:
        """A sin(x + phase)."""
        amplitude, phase = params[:, None, :1], params[:, None, 1:]
        return amplitude * torch.sin(x + phase)

    def corrupt(
        self, y: Float[Tensor, "batch shot 1"], *, generator: Generator
    ) -> Float[Tensor, "batch shot 1"]:
        """Add Gaussian label noise."""
        return add_gaussian_noise(y, self.noise, generator=generator)

    def oracle(
        self,
        x: Float[Tensor, "batch shot 1"],
        y: Float[Tensor, "batch shot 1"],
        query: Float[Tensor, "batch query 1"],
    ) -> Float[Tensor, "batch query 1"]:
        """Best linear estimate from features sin x and cos x; exact from two clean examples on."""
        features = torch.cat([query.sin(), query.cos()], dim=-1)
        return features @ self.estimate(x, y)[:, :, None]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Amplitude and phase."""
        return Parameter("amplitude"), Parameter("phase", period=2 * math.pi)

    def targets(self, params: Float[Tensor, "batch 2"]) -> dict[str, Float[Tensor, " batch"]]:
        """The coefficients of sin x and cos x, in which y is linear."""
        amplitude, phase = params.unbind(1)
        return {"A cos phase": amplitude * phase.cos(), "A sin phase": amplitude * phase.sin()}

    def estimate(
        self, x: Float[Tensor, "batch shot 1"], y: Float[Tensor, "batch shot 1"]
    ) -> Float[Tensor, "batch 2"]:
        """The best estimate of the targets that is linear in y."""
        square = self._mean_square_amplitude / 2
        mean = x.new_tensor([0.0, self._mean_amplitude * 2 / math.pi])
        std = (square - mean.square()).sqrt()
        features = torch.cat([x.sin(), x.cos()], dim=-1)
        return linear_posterior_mean(features, y, mean=mean, std=std, noise=self.noise)
