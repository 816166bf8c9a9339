"""Tasks that tvlens does not have, as its users write them."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Quadratic:
    """y = a x^2 + b with Gaussian a, b and x: a task that tvlens does not have."""

    spread: float = 1.0

    @property
    def d_x(self) -> int:
        return 1

    @property
    def d_y(self) -> int:
        return 1

    @property
    def scale(self) -> float:
        return 3 * self.spread**4 + 1

    def sample_params(self, batch: int, *, generator: Generator) -> Tensor:
        return torch.randn(batch, 2, generator=generator, device=generator.device)

    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        x = torch.randn(len(params), shots, 1, generator=generator, device=generator.device)
        return self.spread * x

    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        return self._features(x) @ params[:, :, None]

    def corrupt(self, y: Tensor, *, generator: Generator) -> Tensor:
        return y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().squeeze(-1)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss(prediction, target) / self.scale

    def oracle(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        params = torch.linalg.pinv(self._features(x).double()) @ y.double()
        return self._features(query) @ params.float()

    def _features(self, x: Tensor) -> Tensor:
        return torch.cat([x.square(), torch.ones_like(x)], dim=-1)


@dataclass(frozen=True)
class Constant:
    """y is the same for all x: what the last example shows."""

    d_x: int = 1
    d_y: int = 1
    scale: float = 1.0

    def sample_params(self, batch: int, *, generator: Generator) -> Tensor:
        """Functions and their opposites, so that their mean is 0."""
        half = torch.randn(batch // 2, 1, generator=generator)
        return torch.stack([half, -half], dim=1).flatten(0, 1)

    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        return torch.randn(len(params), shots, 1, generator=generator)

    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        return params[:, None].expand(x.shape)

    def corrupt(self, y: Tensor, *, generator: Generator) -> Tensor:
        return y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().squeeze(-1)

    error = loss

    def oracle(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        return y[:, -1:].expand(query.shape) if y.shape[1] else torch.zeros_like(query)
