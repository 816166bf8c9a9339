"""Linear transformers whose task vectors hold what we put there (arXiv 2506.09048, section 3)."""

import torch
from torch import Tensor

from tests.transcribed import attention
from tvlens.models import LinearConfig, LinearTransformer
from tvlens.prompts import TRIPLET
from tvlens.theory import StructuredPositions

SCALES = {"a": 0.7, "b": -1.3, "readout": -0.9, "asked": 1.7, "to_x": 0.6, "to_y": -0.8}
"""What is multiplied on the way; any numbers will do."""


def planted_triplets(M: Tensor, d: int) -> LinearTransformer:
    """Two layers that learn by task vectors alone, in float64.

    The first makes of the arrow j of a context the pair (a1 X M_j, a2 Y M_j), and copies the query
    to the token that is read out. The second answers by what is in the arrows: the prediction is
    `gain(n) * sum_j (a2 Y M_j) (a1 X M_j)^T x`.

    Args:
        M: weight of each example (row) in each arrow (column, that of the query last).
        d: width of x.
    """
    n = len(M)
    config = LinearConfig(n_layers=2)
    model = LinearTransformer(config, d, TRIPLET, n, dtype=torch.float64)
    none, zero = torch.zeros(2, 2, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    query = none.clone()
    query[0, 1] = SCALES["asked"]
    to_arrow = torch.tensor([SCALES["to_x"], SCALES["to_y"]], dtype=torch.float64)
    mixing = torch.cat([M.double(), torch.zeros(1, n + 1, dtype=torch.float64)])
    first, second = attention(model, 0), attention(model, 1)
    first.A.data.fill_(SCALES["a"])
    first.B.data.fill_(SCALES["b"])
    first.C.data.fill_(0.0)
    first.D.data = StructuredPositions(none, query, zero, mixing, to_arrow).matrix()
    second.A.data.fill_(0.0)
    second.B.data.fill_(1.0)
    second.C.data.fill_(SCALES["readout"])
    second.D.data.fill_(0.0)
    return model


def pair(n: int) -> tuple[float, float]:
    """a1 and a2."""
    return SCALES["a"] * SCALES["to_x"] / n, SCALES["b"] * SCALES["to_y"] / n


def gain(n: int) -> float:
    """What the second layer multiplies arrows with, with the sign of a prediction."""
    return -SCALES["readout"] / n * SCALES["a"] * SCALES["asked"] / n


def example_of_each_arrow(n: int) -> Tensor:
    """M whose arrow j + 1 holds example j and nothing else, so that the last arrow has the last."""
    return torch.cat([torch.zeros(n, 1), torch.eye(n)], dim=1).double()


def orthogonal_rows(n: int, seed: int = 0) -> Tensor:
    """M whose rows are orthonormal and spread over all arrows."""
    drawn = torch.randn(
        n + 1, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return torch.linalg.qr(drawn)[0].T
