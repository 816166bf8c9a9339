"""Tasks that tvlens does not have, as its users write them."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot


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


@dataclass(frozen=True)
class Planes:
    """y = W x with two rows of weights: outputs are vectors, and not as wide as inputs."""

    d_x: int = 3
    d_y: int = 2
    scale: float = 6.0

    def sample_params(self, batch: int, *, generator: Generator) -> Tensor:
        return torch.randn(batch, self.d_x * self.d_y, generator=generator)

    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        return torch.randn(len(params), shots, self.d_x, generator=generator)

    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        return x @ params.unflatten(-1, (self.d_x, self.d_y))

    def corrupt(self, y: Tensor, *, generator: Generator) -> Tensor:
        return y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().sum(-1)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss(prediction, target) / self.scale

    def oracle(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        return query @ (torch.linalg.pinv(x.double()) @ y.double()).to(query)


@dataclass(frozen=True)
class Steps:
    """y = a x + b of symbols, modulo their number, which is a prime."""

    symbols: int = 7

    @property
    def d_x(self) -> int:
        return self.symbols

    d_y = d_x

    @property
    def scale(self) -> float:
        return math.log(self.symbols)

    def sample_params(self, batch: int, *, generator: Generator) -> Tensor:
        a = torch.randint(1, self.symbols, (batch, 1), generator=generator)
        b = torch.randint(self.symbols, (batch, 1), generator=generator)
        return torch.cat([a, b], dim=1).float()

    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        x = torch.randint(self.symbols, (len(params), shots), generator=generator)
        return one_hot(x, self.symbols).float()

    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        a, b = params.long()[:, None].unbind(-1)
        return one_hot((a * x.argmax(-1) + b) % self.symbols, self.symbols).to(x)

    def corrupt(self, y: Tensor, *, generator: Generator) -> Tensor:
        return y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -(prediction.log_softmax(-1) * target).sum(-1)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction.argmax(-1) != target.argmax(-1)).to(prediction)

    def oracle(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        """How many functions agree with the examples, of those that give each answer."""
        every = torch.cartesian_prod(torch.arange(1, self.symbols), torch.arange(self.symbols))

        def answers(inputs: Tensor) -> Tensor:
            shape = (len(every), len(inputs), inputs.shape[1], self.symbols)
            rows = inputs.expand(len(every), *inputs.shape).flatten(0, 1)
            params = every.float().repeat_interleave(len(inputs), dim=0)
            return self.apply(params, rows).reshape(shape)

        agree = (answers(x) == y).all(-1).all(-1).to(query)
        return torch.einsum("fb,fbqs->bqs", agree, answers(query)).clamp_min(1e-9).log()
