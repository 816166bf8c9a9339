"""Maps among orthonormal vectors: bijections for models that read numbers, not symbols."""

import enum
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.tasks.regression import Regression


class ItemMap(enum.StrEnum):
    """Where a function takes its items: pairs (x_k, y_k) of orthonormal vectors."""

    FORWARD = "forward"
    """x_k to y_k."""
    INVERSE = "inverse"
    """y_k to x_k."""
    BOTH = "both"
    """x_k to y_k and y_k to x_k: an involution without fixed points, of rank 2 for each pair."""
    COPY = "copy"
    """x_k to x_k."""
    NEGATION = "negation"
    """x_k to -x_k."""


@kind
@dataclass(frozen=True)
class OrthonormalItems(Regression):
    """Linear maps that take orthonormal items to items; an input is an item of the domain, drawn
    independently of the others.

    Params are the items x_1 .. x_p, y_1 .. y_p, a random orthonormal system. The rank of a function
    is the number of items in its domain, so a vector that holds one example knows one in `rank` of
    them (arXiv 2506.09048, section 4, has words for items).
    """

    d: int = 4
    """Dimension of an item."""
    pairs: int = 1
    """Number p of pairs, at most d / 2."""
    map: ItemMap = ItemMap.FORWARD
    """Which items are taken where."""

    def __post_init__(self) -> None:
        if not 1 <= self.pairs <= self.d // 2:
            raise InputError(
                f"OrthonormalItems needs 1 <= pairs <= d / 2, got {self}: 2 pairs items are "
                "orthonormal in d dimensions."
            )

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"{self.map} {self.pairs}"

    @property
    def domain(self) -> tuple[int, ...]:
        """The items that it takes somewhere, as numbers of `items`."""
        firsts, seconds = tuple(range(self.pairs)), tuple(range(self.pairs, 2 * self.pairs))
        both = self.map is ItemMap.BOTH
        return firsts + seconds if both else seconds if self.map is ItemMap.INVERSE else firsts

    @property
    def images(self) -> tuple[int, ...]:
        """Where it takes them, up to `sign`."""
        stays = self.map in (ItemMap.COPY, ItemMap.NEGATION)
        step = 0 if stays else self.pairs
        return tuple((item + step) % (2 * self.pairs) for item in self.domain)

    @property
    def sign(self) -> int:
        """-1 where it takes items to what is opposite to items."""
        return -1 if self.map is ItemMap.NEGATION else 1

    @property
    def rank(self) -> int:
        """Number of items in the domain, and rank of the map."""
        return len(self.domain)

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
        """Outputs have length 1 and mean 0."""
        return 1.0

    def items(self, params: Float[Tensor, "batch d_params"]) -> Float[Tensor, "batch item d"]:
        """The items x_1 .. x_p, y_1 .. y_p."""
        return params.unflatten(1, (2 * self.pairs, self.d))

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw orthonormal systems, all rotations equally likely."""
        shape = (batch, self.d, 2 * self.pairs)
        drawn = torch.randn(shape, generator=generator, device=generator.device)
        q, r = torch.linalg.qr(drawn)
        return (q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).mT.flatten(1)

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d"]:
        """Draw items of the domain."""
        shape, device = (len(params), shots), generator.device
        drawn = torch.randint(self.rank, shape, generator=generator, device=device)
        inside = self.items(params)[:, list(self.domain)]
        return inside.take_along_dim(drawn[..., None], dim=1)

    def apply(
        self, params: Float[Tensor, "batch d_params"], x: Float[Tensor, "batch shot d"]
    ) -> Float[Tensor, "batch shot d"]:
        """The linear map: images of the part of x in the domain."""
        items = self.items(params)
        share = x @ items[:, list(self.domain)].mT
        return self.sign * share @ items[:, list(self.images)]

    def oracle(
        self,
        x: Float[Tensor, "batch shot d"],
        y: Float[Tensor, "batch shot d"],
        query: Float[Tensor, "batch query d"],
    ) -> Float[Tensor, "batch query d"]:
        """The image of an item that was shown; of any other, all directions are equally likely that
        were not. That copies are copies needs no example.
        """
        if self.map in (ItemMap.COPY, ItemMap.NEGATION):
            return self.sign * query
        if self.map is ItemMap.BOTH:
            x, y = torch.cat([x, y], dim=1), torch.cat([y, x], dim=1)
        if not x.shape[1]:
            return torch.zeros_like(query)
        same = query @ x.mT > 0.5
        return same / same.sum(-1, keepdim=True).clamp_min(1) @ y

    def nearest(
        self,
        params: Float[Tensor, "batch d_params"],
        prediction: Float[Tensor, "batch query d"],
    ) -> Int[Tensor, "batch query"]:
        """The item that a prediction points to, by cosine: its number; that number + 2 pairs for
        what is opposite to it; -1 where the prediction is 0.
        """
        items = self.items(params)
        along = prediction @ torch.cat([items, -items], dim=1).mT
        return torch.where((prediction == 0).all(-1), -1, along.argmax(-1))
