"""What tasks have in common whose functions map some symbols to symbols."""

import abc
import enum
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.base import cross_entropy, is_wrong


class Direction(enum.StrEnum):
    """Which way a function maps its pairs (x, y)."""

    FORWARD = "forward"
    """x to y."""
    INVERSE = "inverse"
    """y to x."""
    BOTH = "both"
    """x to y and y to x: an involution without fixed points."""
    COPY = "copy"
    """x to x."""


@kind
@dataclass(frozen=True)
class MapKind:
    """A kind of function: how many pairs it has, and which way they are mapped."""

    direction: Direction
    pairs: int

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise InputError(f"A function needs at least 1 pair, got {self}.")

    @property
    def items(self) -> int:
        """Size of the domain, which is the rank of the map on one-hot vectors."""
        return self.pairs * (2 if self.direction is Direction.BOTH else 1)

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"{self.direction} {self.pairs}"


class SymbolMaps(abc.ABC):
    """Functions from some symbols of a vocabulary, the items, to symbols.

    Symbols are one-hot vectors, predictions are logits. The params of a function are the number of
    its kind, and then for each symbol the number of its image, -1 where it has none. What has no
    image is no symbol (zeros).

    The first inputs of an episode are the items in random order, and all further ones are drawn
    independently: once there are as many examples as items, each has occurred.
    """

    @property
    @abc.abstractmethod
    def kinds(self) -> tuple[MapKind, ...]:
        """The kinds of functions, one as likely as the other."""

    @property
    @abc.abstractmethod
    def d_x(self) -> int:
        """Size of the vocabulary."""

    @property
    def d_y(self) -> int:
        """Size of the vocabulary."""
        return self.d_x

    @property
    @abc.abstractmethod
    def scale(self) -> float:
        """Cross-entropy in nats of the best guess from the query alone."""

    @abc.abstractmethod
    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw functions."""

    @abc.abstractmethod
    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """Log-probabilities under the posterior over functions."""

    def images(self, params: Float[Tensor, "batch d_params"]) -> Int[Tensor, "batch d_x"]:
        """The image of every symbol, -1 outside of the domain."""
        return params[:, 1:].long()

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d_x"]:
        """Draw items."""
        inside = self.images(params) >= 0
        order = torch.rand(inside.shape, generator=generator, device=inside.device)
        shuffled = order.masked_fill(~inside, 2.0).argsort(1)
        items = inside.sum(1, keepdim=True)
        uniform = torch.rand((len(params), shots), generator=generator, device=inside.device)
        shot = torch.arange(shots, device=inside.device)
        place = torch.where(shot < items, shot, (uniform * items).long())
        return self.one_hot(shuffled.gather(1, place))

    def apply(
        self, params: Float[Tensor, "batch d_params"], x: Float[Tensor, "batch shot d_x"]
    ) -> Float[Tensor, "batch shot d_y"]:
        """The images."""
        return self.one_hot(self.images(params).gather(1, x.argmax(-1)))

    def corrupt(
        self, y: Float[Tensor, "batch shot d_y"], *, generator: Generator
    ) -> Float[Tensor, "batch shot d_y"]:
        """Labels are clean."""
        return y

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

    def one_hot(self, symbols: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_x"]:
        """Symbols as vectors; zeros for -1."""
        return (symbols[..., None] == torch.arange(self.d_x, device=symbols.device)).float()


def log_chance_of_inputs(
    items: Float[Tensor, " function"],
    examples: int,
    distinct: Float[Tensor, " batch"],
) -> Float[Tensor, "batch function"]:
    """Log-probability that a function with so many items shows these inputs, and is then asked one
    that is drawn independently.

    Of the inputs it needs to know how many are distinct: all, or all items. A context that no
    function shows (`SymbolMaps.sample_inputs` never made it) is judged as if inputs had been drawn
    independently.
    """
    distinct = distinct[:, None]
    first = torch.lgamma(items - distinct + 1) - torch.lgamma(items + 1)
    rest = -(examples - distinct + 1) * items.log()
    possible = distinct == items.clamp_max(examples)
    return torch.where(distinct <= items, first + rest, -torch.inf) - 50.0 * ~possible
