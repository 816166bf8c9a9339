"""A fixed family of relations between two sets of symbols, asked either way."""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.involutions import check_bijection
from tvlens.tasks.symbol_maps import Direction, MapKind, SymbolMaps, log_chance_of_inputs


@kind
@dataclass(frozen=True)
class Relations(SymbolMaps):
    """R fixed bijections from X to Y, two sets of m symbols; a function is one of them, or its
    inverse, or both in one.

    Unlike `Bijections` the functions can be learned by heart: a task vector need only name one, and
    the side of the query tells the direction. So one vector can serve maps of any rank.
    """

    symbols: int = 8
    """Symbols m of either side; those of X are 0 .. m-1, those of Y m .. 2m-1."""
    relations: int = 6
    """Number of bijections R, all different; without `maps` they are a fixed random choice."""
    directions: tuple[Direction, ...] = (Direction.FORWARD, Direction.INVERSE)
    """Which way functions map, one as likely as the other."""
    maps: tuple[tuple[int, ...], ...] = ()
    """R bijections of your own: the images of all 2m symbols both ways, as `bijection_of` makes
    them of pairs of a symbol of X and one of Y."""

    def __post_init__(self) -> None:
        if self.symbols < 2 or self.relations < 2 or not self.directions:
            raise InputError(f"Relations needs 2 symbols, 2 relations, a direction; got {self}.")
        if self.relations > math.factorial(self.symbols):
            raise InputError(
                f"There are only {math.factorial(self.symbols)} bijections of {self.symbols} "
                f"symbols, not {self.relations}."
            )
        if Direction.COPY in self.directions:
            raise InputError("A relation is between two sets, so no direction of it is a copy.")
        if self.maps:
            self._check_maps()

    def _check_maps(self) -> None:
        sizes = {len(images) for images in self.maps}
        different = len(set(self.maps))
        if (different, len(self.maps), sizes) != (self.relations, self.relations, {self.d_x}):
            raise InputError(
                f"Relations needs as many different maps as relations, {self.relations}, each of "
                f"{self.d_x} symbols, twice `symbols`; got {different} of {sorted(sizes)}."
            )
        for images in self.maps:
            check_bijection(images)
            if min(images[: self.symbols]) < self.symbols:
                raise InputError(
                    f"A relation is between 0 .. {self.symbols - 1} and the other symbols, but "
                    f"{images} maps some of these to each other."
                )

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """One for each direction."""
        return tuple(MapKind(direction, self.symbols) for direction in self.directions)

    @property
    def d_x(self) -> int:
        """Symbols of both sides."""
        return 2 * self.symbols

    @property
    def scale(self) -> float:
        """Cross-entropy in nats of the best guess from the query alone."""
        table = self._table(torch.device("cpu"))
        query = torch.eye(self.d_x)[:, None]
        none = query[:, :0]
        guess = self.oracle(none, none, query)[:, 0]
        asked = (table >= 0).double() / (table >= 0).sum(1, keepdim=True) / len(table)
        chance = torch.einsum("fx,fxy->xy", asked, self.one_hot(table).double())
        return float(-(chance * guess.double()).sum())

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw relations and directions."""
        table = self._table(generator.device)
        index = torch.randint(len(table), (batch,), generator=generator, device=generator.device)
        kind = index // self.relations
        return torch.cat([kind[:, None], table[index]], dim=1).float()

    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """Log-probabilities under the posterior over relations and directions.

        It knows how inputs are drawn, so a repeated one tells the size of the domain. The query
        counts as drawn independently of them.
        """
        table = self._table(x.device)
        agrees = (table[:, x.argmax(-1)] == y.argmax(-1)).all(-1).T
        distinct = x.sum(1).clamp_max(1.0).sum(-1).double()
        items = (table >= 0).sum(1).double()
        weight = log_chance_of_inputs(items, x.shape[1], distinct)
        weight = torch.where(agrees, weight, -torch.inf)[:, None]
        asked = table[:, query.argmax(-1)].permute(1, 2, 0)
        weight = torch.where(asked >= 0, weight, -torch.inf).softmax(-1).nan_to_num(0.0)
        predictive = torch.einsum("bqf,bqfv->bqv", weight, self.one_hot(asked).double())
        return predictive.clamp_min(1e-12).log().to(x.dtype)

    def _table(self, device: torch.device) -> Int[Tensor, "function d_x"]:
        """The image of every symbol under every function, direction by direction."""
        table = torch.tensor(_functions(self.symbols, self.relations, self.directions, self.maps))
        # Sent without waiting: a tensor made on a GPU from a list would stop the host every step.
        return table.to(device, non_blocking=True)


@functools.cache
def _functions(
    symbols: int,
    relations: int,
    directions: tuple[Direction, ...],
    maps: tuple[tuple[int, ...], ...],
) -> list[list[int]]:
    if maps:
        forward = torch.tensor(maps)[:, :symbols] - symbols
    else:
        forward = torch.tensor(_drawn(symbols, relations))
    backward = forward.argsort(1)
    nothing = torch.full_like(forward, -1)
    halves = {
        Direction.FORWARD: (forward + symbols, nothing),
        Direction.INVERSE: (nothing, backward),
        Direction.BOTH: (forward + symbols, backward),
    }
    return torch.cat([torch.cat(halves[each], dim=1) for each in directions]).tolist()


def _drawn(symbols: int, relations: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(0)
    different: dict[tuple[int, ...], None] = {}
    while len(different) < relations:
        different[tuple(torch.randperm(symbols, generator=generator).tolist())] = None
    return list(different)
