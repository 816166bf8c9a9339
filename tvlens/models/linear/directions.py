"""Ways to move the weights of a structured linear transformer: along S_P, across it, and flat."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens import theory
from tvlens.models import AttentionWeights, FirstLayer, LinearTransformer
from tvlens.models.linear.weights import (
    live_bias,
    live_entries,
    nearest_structure,
    structured_layers,
)
from tvlens.prompts import TRIPLET, ColumnFormat, Role


class Direction(NamedTuple):
    """Weights along a line, or a curve, through those of a model, which are at step 0."""

    kind: str
    """`along`, `across`, `flat` or `nearly flat`."""
    part: str
    """What moves."""
    weights: dict[str, Float[Tensor, "step ..."]]
    """Those that change, by the names that the model has for them."""


def directions(
    model: LinearTransformer,
    steps: Float[Tensor, " step"],
    draws: int,
    *,
    generator: Generator,
) -> Iterator[Direction]:
    """All directions that `tvlens.analysis.risk_landscape` looks into.

    In every layer but the last, of whose D one entry in S_P is left: changes of D whose length at
    step 1 is that of the nearest point of S_P, unless said otherwise.

    - `along`: more of one part of that point: what moves within examples (`example`), within the
      query (`query`) and from examples to arrows (`task vectors`). And the `read-out`, C of the
      last layer, which is 0 at step -1.
    - `across`: random live entries, orthogonal to the tangents of S_P; `draws` of them.
    - `flat`: random dead entries; a quarter turn at step 1 of all arrows in a random plane; and
      entries of the first of two layers that cancel each other in K, which is exactly flat with
      C_1 = 0 and `nearly flat` else.

    Args:
        model: with A, B, C and D.
        steps: where the weights are taken.
        draws: random directions across the set for each layer.
        generator: draws what is random, on the CPU.
    """
    for layer in range(1, model.n_layers):
        yield from _along(model, layer, steps)
        yield from _across(model, layer, steps, draws, generator)
    yield _readout(model, steps)
    yield _dead(model, steps, generator)
    if model.format == TRIPLET and not model.config.causal:
        yield _turned_arrows(model, steps, generator)
    scalar = model.config.weights is AttentionWeights.SCALAR
    if model.n_layers == 2 and scalar and not model.config.causal:
        yield _cancelling(model, steps, generator)


def structured_parts(
    D: Float[Tensor, "position position"], format: ColumnFormat
) -> dict[str, Float[Tensor, "position position"]]:
    """The point of S_P nearest to D as the sum of its parts, by what they move."""
    nearest, size = nearest_structure(D, format), len(format.roles)
    query = torch.zeros_like(D)
    query[-size:, -size:] = theory.project_exchangeable(D, format)[-size:, -size:]
    parts = {"query": query}
    if Role.ARROW in format.roles:
        arrows = torch.zeros(len(D), dtype=torch.bool)
        arrows[format.tokens(Role.ARROW, len(D) // size)] = True
        parts["query"] = query * ~arrows
        parts["arrows"] = nearest * (arrows[:, None] & arrows)
        parts["task vectors"] = nearest * (~arrows[:, None] & arrows)
    parts["example"] = nearest - sum(parts.values())
    return parts


def scale_of_steps(model: LinearTransformer, layer: int) -> float:
    """The length of the point of S_P nearest to D of a layer."""
    return float(nearest_structure(live_bias(model, layer), model.format).norm())


def _along(
    model: LinearTransformer, layer: int, steps: Float[Tensor, " step"]
) -> Iterator[Direction]:
    for name, part in structured_parts(live_bias(model, layer), model.format).items():
        if part.any():
            yield _moved_bias(model, layer, steps, "along", name, part)


def _across(
    model: LinearTransformer,
    layer: int,
    steps: Float[Tensor, " step"],
    draws: int,
    generator: Generator,
) -> Iterator[Direction]:
    D, live = live_bias(model, layer), live_entries(model, layer)
    if Role.ARROW in model.format.roles:
        # Those of y are dead: whatever x of the query gives to arrows, an L4 kron L5 can.
        live[-len(model.format.roles), model.format.tokens(Role.ARROW, model.examples + 1)] = False
    for _ in range(draws):
        drawn = torch.randn(D.shape, generator=generator, dtype=D.dtype) * live
        off = (drawn - theory.project_tangent(drawn, D, model.format)) * live
        yield _moved_bias(model, layer, steps, "across", "random, outside of the set", off)


def _dead(
    model: LinearTransformer, steps: Float[Tensor, " step"], generator: Generator
) -> Direction:
    dead = ~live_entries(model, 1)
    drawn = torch.randn(dead.shape, generator=generator, dtype=torch.float64) * dead
    return _moved_bias(model, 1, steps, "flat", "dead entries", drawn)


def _moved_bias(
    model: LinearTransformer,
    layer: int,
    steps: Float[Tensor, " step"],
    kind: str,
    part: str,
    change: Float[Tensor, "position position"],
) -> Direction:
    D = structured_layers(model)[layer - 1].D.detach()
    change = (scale_of_steps(model, layer) / change.norm() * change).to(D)
    name = part if model.n_layers == 2 else f"{part}, layer {layer}"
    return Direction(kind, name, {_name(layer, "D"): D + steps.to(D)[:, None, None] * change})


def _readout(model: LinearTransformer, steps: Float[Tensor, " step"]) -> Direction:
    C = structured_layers(model)[-1].C.detach()
    factors = (1 + steps.to(C)).view(-1, *[1] * C.dim())
    return Direction("along", "read-out", {_name(model.n_layers, "C"): factors * C})


def _turned_arrows(
    model: LinearTransformer, steps: Float[Tensor, " step"], generator: Generator
) -> Direction:
    """Arrows have no content of their own, so no layer can tell them from turned ones."""
    shots = model.examples + 1
    plane = torch.linalg.qr(torch.randn(shots, 2, generator=generator, dtype=torch.float64)).Q
    turn = math.pi / 2 * (plane[:, :1] @ plane[:, 1:].T - plane[:, 1:] @ plane[:, :1].T)
    turned = torch.matrix_exp(steps.double()[:, None, None] * turn)
    arrows = model.format.tokens(Role.ARROW, model.examples + 1)
    everywhere = torch.eye(model.format.n_tokens(model.examples + 1), dtype=torch.float64)
    everywhere = everywhere.repeat(len(steps), 1, 1)
    everywhere[:, arrows, arrows] = turned
    weights = {}
    for layer, attn in enumerate(structured_layers(model), start=1):
        D = attn.D.detach()
        R = everywhere.to(D)
        weights[_name(layer, "D")] = R.mT @ D @ R
    return Direction("flat", "arrows turned", weights)


def _cancelling(
    model: LinearTransformer, steps: Float[Tensor, " step"], generator: Generator
) -> Direction:
    """K = V U^T is that of V R^-T and U R, where U and V say what x and y each token has after the
    first layer: entries for x and for y change, and cancel.
    """
    first, second = structured_layers(model)
    n, tokens = model.examples, model.format.n_tokens(model.examples + 1)
    D, bias = first.D.detach().cpu().double(), second.D.detach().cpu().double()
    x, y = (torch.arange(tokens)[model.format.tokens(role, n + 1)] for role in (Role.X, Role.Y))
    y = y[:-1]  # That of the query is the last token, which nobody sees.
    a, b = first.A.detach().cpu().double() / n, first.B.detach().cpu().double() / n
    start = torch.eye(tokens, dtype=torch.float64)[:, :-1]
    U, V = start[x] + a * D[x, :-1], start[y] + b * D[y, :-1]
    generated = torch.randn(tokens - 1, tokens - 1, generator=generator, dtype=torch.float64)
    speed = torch.cat([U @ generated / a, V @ generated.T / b]).norm()
    generated = generated * scale_of_steps(model, 1) / speed
    R = torch.matrix_exp(steps.double()[:, None, None] * generated)
    moved, read = D.repeat(len(steps), 1, 1), bias.repeat(len(steps), 1, 1)
    moved[:, x, :-1] = (U @ R - start[x]) / a
    moved[:, y, :-1] = (V @ torch.linalg.inv(R).mT - start[y]) / b
    read[:, :-1, -1] = R.mT @ bias[:-1, -1]
    weights = {_name(1, "D"): moved.to(first.D), _name(2, "D"): read.to(second.D)}
    kind = "nearly flat" if model.config.first_layer is FirstLayer.FULL else "flat"
    return Direction(kind, "cancelling entries", weights)


def _name(layer: int, weight: str) -> str:
    return f"blocks.{layer - 1}.attn.{weight}"
