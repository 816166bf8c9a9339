"""Linear transformers as the paper writes them: matrices of columns, built demonstration by
demonstration, one prompt at a time (arXiv 2506.09048, sections 3 and A.4).
"""

from typing import Any

import torch
from torch import Tensor

from tvlens.models import AttentionWeights, DropoutKind, FirstLayer, LinearTransformer
from tvlens.prompts import PAIRWISE, SINGLE, TRIPLET, ColumnFormat


def prompt_matrix(format: ColumnFormat, x: Tensor, y: Tensor) -> Tensor:
    """Z_0 of one prompt: x (n + 1, d) and y, whose last row is not shown."""
    empty = torch.zeros_like(x[0])
    columns = []
    for i in range(len(x)):
        shown = y[i] if i < len(x) - 1 else empty
        if format == SINGLE:
            columns += [torch.cat([x[i], shown])]
        elif format == PAIRWISE:
            columns += [torch.cat([x[i], empty]), torch.cat([empty, shown])]
        elif format == TRIPLET:
            columns += [torch.cat([x[i], empty]), torch.cat([empty, empty])]
            columns += [torch.cat([empty, shown])]
        else:
            columns += [torch.cat([empty, x[i]]), torch.cat([empty, shown])]
    return torch.stack(columns, dim=1)


def attention(model: LinearTransformer, layer: int) -> Any:
    """The weights of a layer, counted from 0."""
    block: Any = model.blocks[layer]
    return block.attn


def value_and_query(model: LinearTransformer, layer: int) -> tuple[Tensor, Tensor]:
    """V and Q of a layer, counted from 0, whole."""
    attn = attention(model, layer)
    if layer == 0 and model.config.first_layer is FirstLayer.LIFTS:
        return lifting_value_and_query(model)
    if model.config.weights is AttentionWeights.UNCONSTRAINED:
        return attn.V, attn.Q
    d = model.d
    eye = torch.eye(d, dtype=attn.A.dtype)
    scalar = model.config.weights is AttentionWeights.SCALAR
    A, B, C = (w * eye if scalar else w for w in (attn.A, attn.B, attn.C))
    D = [attn.D] if model.format.ordered else []
    return torch.block_diag(A, B), torch.block_diag(C, torch.zeros_like(C), *D)


def lifting_value_and_query(model: LinearTransformer) -> tuple[Tensor, Tensor]:
    """V_0 = [0 A_0; 0 0] and Q_0 = diag(0, D_0), where the rows of y in D_0 are 0 (Theorem 7)."""
    d, attn = model.d, attention(model, 0)
    V = torch.zeros(2 * d, 2 * d, dtype=attn.A.dtype)
    scalar = model.config.weights is AttentionWeights.SCALAR
    V[:d, d:] = attn.A * torch.eye(d, dtype=V.dtype) if scalar else attn.A
    D = attn.D.clone()
    for i in range(1, len(D), 2):
        D[i] = 0
    return V, torch.block_diag(torch.zeros_like(V), D)


def transcribed(model: LinearTransformer, x: Tensor, y: Tensor, kept: Tensor | None) -> Tensor:
    """All Z_l of one prompt: (layer 0 .. L, 2d, d_p). `kept` is (layer, d_p)."""
    Z = prompt_matrix(model.format, x, y)
    n, d_p = len(x) - 1, Z.shape[1]
    P = torch.eye(d_p, dtype=Z.dtype) if model.format.ordered else Z.new_zeros(0, d_p)
    M = torch.eye(d_p, dtype=Z.dtype)
    M[-1, -1] = 0
    stream = [Z]
    for layer in range(model.n_layers):
        V, Q = value_and_query(model, layer)
        keep = torch.ones(d_p) if kept is None else kept[layer]
        stays = torch.diag(keep.to(Z.dtype))

        def attn(Z: Tensor, V: Tensor = V, Q: Tensor = Q) -> Tensor:
            scores = torch.cat([Z, P]).T @ Q @ torch.cat([Z, P])
            if model.config.causal:
                scores = scores.triu()
            return V @ Z @ M @ scores / n

        kind = model.config.dropout.loses
        if kind is DropoutKind.OUTPUT:
            Z = Z @ stays + attn(Z) @ stays
        elif kind is DropoutKind.INPUT:
            Z = Z @ stays + attn(Z @ stays)
        else:
            Z = Z + attn(Z @ stays)
        stream.append(Z)
    return torch.stack(stream)
