"""Data over which means are exact: draws with all their symmetries, and Gaussian nodes."""

import itertools
import math

import torch
from torch import Tensor

from tests.planted_linear import normal
from tvlens.prompts import Episodes

D, N = 2, 2


def signed_permutations(d: int) -> list[Tensor]:
    eye = torch.eye(d, dtype=torch.float64)
    orders = itertools.permutations(range(d))
    signs = list(itertools.product([1.0, -1.0], repeat=d))
    return [eye[list(order)] * torch.tensor(sign) for order in orders for sign in signs]


def orbit(seeds: range = range(2), root: Tensor | None = None) -> Episodes:
    """Draws, each with all that a finite group of symmetries of the data makes of it.

    x and W are rotated on either side by signed permutations, examples are exchanged, and each
    example and the query change sign: 4096 episodes of each draw, over which means are exact.
    """
    rotations = torch.stack(signed_permutations(D))
    orders = torch.tensor([[*order, N] for order in itertools.permutations(range(N))])
    # The query changes sign too: all signs together are one of the rotations.
    signs = torch.tensor(list(itertools.product([1.0, -1.0], repeat=N)), dtype=torch.float64)
    signs = torch.cat([signs, torch.ones(len(signs), 1)], dim=1)
    root = torch.eye(D, dtype=torch.float64) if root is None else root
    xs, maps = [], []
    for seed in seeds:
        x, W = normal(N + 1, D, seed=seed), normal(D, D, seed=100 + seed)
        x = torch.einsum("gij,pnj,sn->gpsni", rotations, x[orders], signs).flatten(0, 2)
        W = torch.einsum("gij,jk,hkl->ghil", rotations, W, rotations).flatten(0, 1)
        xs.append(x.repeat_interleave(len(W), dim=0) @ root)
        maps.append(W.repeat(len(x), 1, 1) @ torch.linalg.inv(root))
    x, W = torch.cat(xs), torch.cat(maps)
    y = x @ W.mT
    return Episodes(x, y, y, W.flatten(1))


def gaussian_nodes(d: int, examples: int) -> tuple[Episodes, Tensor]:
    """Episodes and weights that give the exact mean of what has degree 5 in each number of an
    example and 3 in each number of the query and of W, as the squared error of two layers does.
    """
    three = torch.tensor([-math.sqrt(3), 0.0, math.sqrt(3)], dtype=torch.float64)
    two = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    nodes = torch.cartesian_prod(*[three] * (d * examples), *[two] * (d + d * d))
    shares = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
    halves = torch.full((2,), 0.5, dtype=torch.float64)
    weights = torch.cartesian_prod(*[shares] * (d * examples), *[halves] * (d + d * d)).prod(-1)
    x, W = nodes[:, : -d * d].unflatten(1, (examples + 1, d)), nodes[:, -d * d :]
    y = x @ W.unflatten(1, (d, d)).mT
    return Episodes(x, y, y, W), weights
