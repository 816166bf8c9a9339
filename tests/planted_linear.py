"""Linear transformers whose weights are written by hand, so that their structure is known."""

from typing import Any

import torch
from torch import Tensor

from tests.transcribed import attention
from tvlens import theory
from tvlens.models import LinearConfig, LinearTransformer
from tvlens.prompts import PAIRWISE, TRIPLET, ColumnFormat

TRIPLET, PAIRWISE = TRIPLET, PAIRWISE


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def even_mixing(examples: int, length: float = 1.3) -> Tensor:
    """An L4 of orthogonal rows of one length, that of the query empty."""
    mixing = length * torch.linalg.qr(normal(examples + 1, examples + 1, seed=7)).Q
    mixing[-1] = 0
    return mixing


def positions(
    mixing: Tensor, seed: int = 0, format: ColumnFormat = TRIPLET
) -> tuple[Tensor, theory.StructuredPositions]:
    """A D in S_P with the given L4 and all else random, and its parts."""
    parts = theory.StructuredPositions(
        normal(2, 2, seed=seed),
        normal(2, 2, seed=seed + 1),
        normal(1, seed=seed + 2)[0],
        mixing,
        normal(2, seed=seed + 3),
    )
    D = parts.matrix()
    if format == PAIRWISE:
        ends = torch.arange(len(D)) % 3 != 1
        D = D[ends][:, ends]
    return D, parts


def planted_model(
    D: Tensor, d: int, format: ColumnFormat = TRIPLET, **options: Any
) -> LinearTransformer:
    """A model in float64 with this D in every layer but the last, where it is 0, and random A, B
    and C.
    """
    examples = len(D) // len(format.roles) - 1
    config = LinearConfig(**{"n_layers": 2, "init_std": 0.7, **options})
    generator = torch.Generator().manual_seed(3)
    model = LinearTransformer(config, d, format, examples, generator=generator, dtype=D.dtype)
    for layer in range(model.n_layers):
        last = layer == model.n_layers - 1
        attention(model, layer).D.data = torch.zeros_like(D) if last else D.clone()
    return model


def fresh_model(like: LinearTransformer, seed: int = 11) -> LinearTransformer:
    """An untrained model of the same kind."""
    return LinearTransformer(
        like.config,
        like.d,
        like.format,
        like.examples,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
