"""Bijections defined in context: fresh pairs of symbols, mapped one way or both."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.symbol_maps import Direction, MapKind, SymbolMaps, log_chance_of_inputs

MIXTURE = (
    MapKind(Direction.BOTH, 1),
    MapKind(Direction.FORWARD, 2),
    MapKind(Direction.BOTH, 2),
    MapKind(Direction.FORWARD, 3),
)


@kind
@dataclass(frozen=True)
class Bijections(SymbolMaps):
    """Every function has pairs of its own: distinct symbols of the vocabulary, drawn uniformly.

    With `Direction.BOTH` it is an involution, f(f(x)) = x, without fixed points. A task vector that
    acts as one example can answer one item of the 1, 2, 3, .. that a function has, which is the
    rank of the map (arXiv 2506.09048, section 4). Forward and inverse functions are the same to
    whoever sees their examples; they are told apart to compare with that paper.
    """

    vocabulary: int = 24
    """Number of symbols."""
    mixture: tuple[MapKind, ...] = MIXTURE
    """Kinds of functions, one as likely as the other."""

    def __post_init__(self) -> None:
        if not self.mixture:
            raise InputError("Bijections needs at least one kind of function in its mixture.")
        if self.vocabulary < 2 * self._most:
            raise InputError(
                f"{self._most} pairs are {2 * self._most} distinct symbols, but the vocabulary has "
                f"{self.vocabulary}."
            )

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """Kinds of functions, one as likely as the other."""
        return self.mixture

    @property
    def d_x(self) -> int:
        """Size of the vocabulary."""
        return self.vocabulary

    @property
    def scale(self) -> float:
        """Cross-entropy in nats of the best guess from the query alone: copy, or any other symbol.

        1 where every function is a copy, and nothing uncertain.
        """
        copy = sum(kind.direction is Direction.COPY for kind in self.kinds) / len(self.kinds)
        if copy == 1:
            return 1.0
        others = -(1 - copy) * math.log((1 - copy) / (self.vocabulary - 1))
        return others - (copy * math.log(copy) if copy else 0.0)

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw kinds and pairs."""
        device = generator.device
        kind = torch.randint(len(self.kinds), (batch,), generator=generator, device=device)
        shuffled = torch.rand(batch, self.vocabulary, generator=generator, device=device).argsort(1)
        left, right = shuffled[:, : 2 * self._most].unflatten(1, (-1, 2)).unbind(-1)
        pairs, forward, inverse, copy = self._columns(device)[:, kind, None]
        there = torch.arange(self._most, device=device) < pairs
        images = torch.full((batch, self.vocabulary), -1, device=device)
        image = torch.where(forward.bool(), right, torch.where(copy.bool(), left, -1))
        images.scatter_(1, left, torch.where(there, image, -1))
        images.scatter_(1, right, torch.where(there & inverse.bool(), left, -1))
        return torch.cat([kind[:, None], images], dim=1).float()

    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """Log-probabilities under the posterior, in closed form.

        An item that was seen has its image. For any other, kinds and pairs that agree with the
        examples are weighed; these say of a new symbol that it goes to itself or to one that was
        not seen, and of one seen as an output alone that it goes back. As in `Relations`, a
        repeated input tells the size of the domain, and the query counts as drawn independently.
        """
        seen = torch.einsum("bsx,bsy->bxy", x.double(), y.double()).clamp_max(1.0)
        item, used = seen.amax(2), torch.maximum(seen.amax(2), seen.amax(1))
        to_new, to_itself, back = self._chances(seen, x.shape[1])
        new = (1 - used)[:, :, None] * (1 - used)[:, None]
        same = torch.eye(self.vocabulary, dtype=seen.dtype, device=seen.device)
        unseen = to_new * new * (1 - same) + to_itself * new * same
        unseen = unseen + back * seen.mT * (1 - item)[:, :, None]
        table = torch.where(item[:, :, None] > 0, seen, unseen)
        table = table / table.sum(-1, keepdim=True).clamp_min(1e-300)
        return (query.double() @ table).clamp_min(1e-12).log().to(x.dtype)

    def _chances(
        self, seen: Float[Tensor, "batch d_x d_y"], examples: int
    ) -> tuple[Float[Tensor, "batch 1 1"], ...]:
        """Relative chances that an item not seen goes to a certain new symbol, to itself, or (if it
        was an output) back.
        """
        pairs, forward, inverse, copy = self._columns(seen.device).double()
        ways = torch.maximum(seen, seen.mT)
        items, touched = seen.sum((1, 2))[:, None], (ways.sum((1, 2)) / 2)[:, None]
        fixed = seen.diagonal(dim1=1, dim2=2).sum(1)[:, None]
        matching = (ways.sum(2).amax(1) <= 1)[:, None] & (fixed == 0)
        both = forward * inverse
        fits = torch.where(copy > 0, fixed == items, matching & ((both > 0) | (touched == items)))
        asked = log_chance_of_inputs(pairs * (1 + both), examples, items[:, 0])

        def chance(more: int) -> Float[Tensor, "batch kind"]:
            """Log-probability of the pairs seen and of `more` further ones."""
            known = torch.where(copy > 0, items, touched) + more
            symbols = known * (2 - copy)
            drawn = torch.lgamma(pairs + 1) - torch.lgamma(pairs - known + 1)
            drawn = drawn + torch.lgamma(self.vocabulary - symbols + 1) + both * known * math.log(2)
            return torch.where(fits & (known <= pairs), drawn + asked, -torch.inf)

        known, fresh = chance(0), chance(1)
        likeliest = torch.maximum(known, fresh).amax(1, keepdim=True).clamp_min(-1e300)
        known, fresh = (known - likeliest).exp(), (fresh - likeliest).exp()
        parts = (fresh * (1 - copy), fresh * copy, known * both)
        to_new, to_itself, back = (part.sum(1)[:, None, None] for part in parts)
        return to_new, to_itself, back

    @property
    def _most(self) -> int:
        """Pairs of the largest kind."""
        return max(kind.pairs for kind in self.kinds)

    def _columns(self, device: torch.device) -> Int[Tensor, "column kind"]:
        """Of every kind the number of pairs, and whether x goes to y, y to x, and x to x."""
        maps = {
            Direction.FORWARD: (1, 0, 0),
            Direction.INVERSE: (0, 1, 0),
            Direction.BOTH: (1, 1, 0),
            Direction.COPY: (0, 0, 1),
        }
        columns = torch.tensor([(kind.pairs, *maps[kind.direction]) for kind in self.kinds]).T
        # Sent without waiting: a tensor made on a GPU from a list would stop the host every step.
        return columns.to(device, non_blocking=True)
