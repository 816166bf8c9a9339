"""Token offset: y = (x + k) mod V on a cyclic vocabulary."""

import enum
import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.base import cross_entropy, is_wrong
from tvlens.tasks.parameters import Parameter


class OffsetSplit(enum.StrEnum):
    """Which offsets a task draws."""

    TRAIN = "train"
    HELD_OUT = "held_out"


@kind
@dataclass(frozen=True)
class TokenOffset:
    """k uniform over the offsets of the split, x uniform over the vocabulary; the param is k.

    Symbols are one-hot vectors, predictions are logits. The offset 0 never occurs, so copying the
    input is never right.
    """

    vocabulary: int = 32
    """Number of symbols V."""
    held_out_share: float = 0.2
    """Share of the offsets 1 .. V-1 that training never sees."""
    split: OffsetSplit = OffsetSplit.TRAIN
    """Which offsets are drawn."""
    noise: float = 0.0
    """Probability that a label in a context is replaced by a uniform symbol; targets stay clean."""

    def __post_init__(self) -> None:
        if self.vocabulary < 3 or not 0 <= self.held_out_share < 1 or not 0 <= self.noise < 1:
            raise InputError(
                "TokenOffset needs vocabulary >= 3, 0 <= held_out_share < 1 and 0 <= noise < 1, "
                f"got {self}."
            )
        if not self.offsets:
            raise InputError(f"No offset is left to draw in {self}; change held_out_share.")

    @property
    def d_x(self) -> int:
        """Size of the vocabulary."""
        return self.vocabulary

    @property
    def d_y(self) -> int:
        """Size of the vocabulary."""
        return self.vocabulary

    @property
    def scale(self) -> float:
        """Cross-entropy in nats of a uniform guess over the offsets."""
        return math.log(max(len(self.offsets), 2))

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offsets of the split. Held-out ones are a fixed random choice."""
        return _offsets(self.vocabulary, self.held_out_share, self.split)

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch 1"]:
        """Draw offsets."""
        device = generator.device
        # Sent without waiting: a tensor made on a GPU from a list would stop the host every step.
        offsets = torch.tensor(self.offsets, dtype=torch.float32).to(device, non_blocking=True)
        index = torch.randint(len(offsets), (batch, 1), generator=generator, device=device)
        return offsets[index]

    def sample_inputs(
        self, params: Float[Tensor, "batch 1"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d_x"]:
        """Draw symbols."""
        return self._one_hot(self._sample_symbols((len(params), shots), generator))

    def apply(
        self, params: Float[Tensor, "batch 1"], x: Float[Tensor, "batch shot d_x"]
    ) -> Float[Tensor, "batch shot d_y"]:
        """(x + k) mod V."""
        return self._one_hot((x.argmax(-1) + params.long()) % self.vocabulary)

    def corrupt(
        self, y: Float[Tensor, "batch shot d_y"], *, generator: Generator
    ) -> Float[Tensor, "batch shot d_y"]:
        """Replace labels by uniform symbols with probability `noise`."""
        if self.noise == 0:
            return y
        replaced = torch.rand(y.shape[:2], generator=generator, device=y.device) < self.noise
        symbols = self._one_hot(self._sample_symbols(y.shape[:2], generator))
        return torch.where(replaced[..., None], symbols, y)

    def loss(
        self, prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
    ) -> Float[Tensor, "*batch"]:
        """Cross-entropy in nats."""
        return cross_entropy(prediction, target)

    def error(
        self, prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
    ) -> Float[Tensor, "*batch"]:
        """1 where the most likely symbol is wrong, 0 where it is right: 1 - accuracy."""
        return is_wrong(prediction, target)

    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """Log-probabilities under the posterior over the split's offsets."""
        offsets = torch.tensor(self.offsets, device=x.device)
        symbols = self._one_hot((query.argmax(-1)[..., None] + offsets) % self.vocabulary)
        predictive = torch.einsum("bk,bqkv->bqv", self._posterior(x, y), symbols)
        return predictive.clamp_min(1e-12).log()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The offset: k and k + V are the same function."""
        return (Parameter("offset", period=float(self.vocabulary)),)

    def targets(self, params: Float[Tensor, "batch 1"]) -> dict[str, Float[Tensor, " batch"]]:
        """Cosine and sine of 2 pi f k / V at every frequency f.

        Everything that depends on k is linear in these. A model picks some frequencies, and which
        ones cannot be known before (Nanda et al., arXiv 2301.05217).
        """
        targets = {}
        for frequency in range(1, self.vocabulary // 2 + 1):
            turns = (params[:, 0] * frequency % self.vocabulary) / self.vocabulary
            targets[f"cos {frequency}"] = torch.cos(2 * math.pi * turns)
            if 2 * frequency != self.vocabulary:
                targets[f"sin {frequency}"] = torch.sin(2 * math.pi * turns)
        return targets

    def estimate(
        self, x: Float[Tensor, "batch shot d_x"], y: Float[Tensor, "batch shot d_y"]
    ) -> Float[Tensor, "batch d_target"]:
        """The posterior mean of the targets."""
        offsets = torch.tensor(self.offsets, dtype=torch.float32, device=x.device)[:, None]
        return self._posterior(x, y) @ torch.stack(list(self.targets(offsets).values()), dim=1)

    def _posterior(
        self, x: Float[Tensor, "batch shot d_x"], y: Float[Tensor, "batch shot d_y"]
    ) -> Float[Tensor, "batch offset"]:
        """Probabilities of the split's offsets."""
        offsets = torch.tensor(self.offsets, device=x.device)
        # A vanishing noise keeps the posterior defined when corrupted labels contradict each other.
        noise = max(self.noise, 1e-6)
        wrong = noise / self.vocabulary
        seen = (y.argmax(-1) - x.argmax(-1)) % self.vocabulary
        agrees = (seen[..., None] == offsets).sum(1)
        return (agrees * math.log((1 - noise + wrong) / wrong)).softmax(-1)

    def _sample_symbols(self, shape: tuple[int, ...], generator: Generator) -> Int[Tensor, "..."]:
        return torch.randint(self.vocabulary, shape, generator=generator, device=generator.device)

    def _one_hot(self, symbols: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_x"]:
        # Unlike F.one_hot, this never looks at the values, so a GPU need not wait.
        return (symbols[..., None] == torch.arange(self.vocabulary, device=symbols.device)).float()


@functools.cache
def _offsets(vocabulary: int, held_out_share: float, split: OffsetSplit) -> tuple[int, ...]:
    shuffled = torch.randperm(vocabulary - 1, generator=torch.Generator().manual_seed(0)) + 1
    count = round(held_out_share * (vocabulary - 1))
    held_out = split is OffsetSplit.HELD_OUT
    return tuple(sorted((shuffled[:count] if held_out else shuffled[count:]).tolist()))
