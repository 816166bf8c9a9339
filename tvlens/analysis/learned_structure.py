"""Do trained linear transformers have the weights that theory finds minimisers among?"""

from collections.abc import Sequence
from typing import cast

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from tvlens import theory
from tvlens.analysis.shared.needs import LINEAR, MATRICES, STRUCTURED, UNTRAINED, asks
from tvlens.base.errors import InputError
from tvlens.models import LinearTransformer
from tvlens.models.linear.weights import (
    check_alike,
    live_bias,
    live_entries,
    nearest_structure,
    structured_layers,
)
from tvlens.prompts import TRIPLET, Role
from tvlens.results import LearnedStructure
from tvlens.subjects import Subject
from tvlens.tasks import MatrixRegression
from tvlens.tasks.covariance import covariance_power


@asks(LINEAR, STRUCTURED, UNTRAINED, MATRICES)
def learned_structure(subject: Subject) -> LearnedStructure:
    """The weights of several trainings beside the structured sets of arXiv 2506.09048, section 3.

    Args:
        subject: linear transformers of pairs or triplets, one for each seed.
    """
    return measure_learned_structure(
        cast(tuple[LinearTransformer, ...], subject.models),
        cast(MatrixRegression, subject.task),
        untrained=cast(tuple[LinearTransformer, ...], subject.untrained),
    )


def measure_learned_structure(
    models: Sequence[LinearTransformer],
    task: MatrixRegression,
    *,
    untrained: Sequence[LinearTransformer],
) -> LearnedStructure:
    """The same, of plain data.

    Args:
        models: trained from different seeds; of one kind, on pairs or triplets.
        task: what they were trained on; it says what x is distributed as.
        untrained: models of the same kind with initial weights, one for each, which show how near
            to the sets chance comes.

    Raises:
        InputError: models of several kinds, without A, B, C and D, or without their controls.
    """
    check_alike([*models, *untrained])
    if len(models) != len(untrained):
        raise InputError(
            f"There are {len(models)} models and {len(untrained)} untrained ones; give one for "
            "each, `experiment.build_model()` say."
        )
    kinds = {"trained": models, "untrained": untrained}
    measured = [
        xr.concat([_structure(model, task) for model in some], "seed").assign_coords(
            training=name, seed=range(1, len(some) + 1)
        )
        for name, some in kinds.items()
    ]
    model = models[0]
    attrs = {
        "format": model.format.name,
        "weights": model.config.weights.value,
        "examples": model.examples,
        "d": model.d,
        "optimal_kappa": theory.optimal_mixing(model.examples, model.d),
        "first_layer": model.config.first_layer.value,
    }
    return LearnedStructure(xr.concat(measured, "training").assign_attrs(attrs))


@torch.no_grad()
def _structure(model: LinearTransformer, task: MatrixRegression) -> xr.Dataset:
    """Everything about one model; A and C as they act on whitened x."""
    layers, tokens = range(1, model.n_layers + 1), _token_labels(model)
    tables = [live_bias(model, layer) for layer in layers]
    matrices = _whitened(model, task)
    arrays = {
        "D": tables,
        "nearest": [nearest_structure(D, model.format) for D in tables],
    }
    dead = [~live_entries(model, layer) for layer in layers]
    data = {
        name: _labelled(
            torch.stack(values).masked_fill(torch.stack(dead), torch.nan),
            layer=layers,
            source=tokens,
            destination=tokens,
        )
        for name, values in arrays.items()
    }
    for name, values in matrices.items():
        data[name] = _labelled(
            values, layer=layers, row=range(1, model.d + 1), column=range(1, model.d + 1)
        )
    if model.format == TRIPLET and model.n_layers > 1:
        # In the last layer nobody sees arrows any more.
        data |= _task_vector_parts(tables[:-1])
    if model.n_layers == 2:
        data |= _mixing(model, tables[0], matrices)
    return xr.Dataset(data)


def _whitened(
    model: LinearTransformer, task: MatrixRegression
) -> dict[str, Float[Tensor, "layer d d"]]:
    """A, B and C of all layers for inputs S^-1/2 x: all sets are multiples of the identity then."""
    eye = torch.eye(model.d, dtype=torch.float64)
    root, inverse = (covariance_power(task.covariance, model.d, p, eye) for p in (0.5, -0.5))

    def stacked(name: str) -> Tensor:
        weights = [getattr(attn, name).cpu().double() for attn in structured_layers(model)]
        return torch.stack([w * eye if w.dim() == 0 else w for w in weights])

    return {
        "A": inverse @ stacked("A") @ root,
        "B": stacked("B"),
        "C": root @ stacked("C") @ root,
    }


def _task_vector_parts(tables: list[Float[Tensor, "position position"]]) -> dict[str, xr.DataArray]:
    """L4, scaled such that L5 has length 1, and how well L4 kron L5 fits."""
    parts = [theory.task_vector_part(D) for D in tables]
    layers = range(1, len(tables) + 1)
    singular, to_arrow, mixing = (torch.stack(each) for each in zip(*parts, strict=True))
    shots = [*map(str, range(1, mixing.shape[-1])), "query"]
    return {
        "singular_values": _labelled(singular, layer=layers, rank=(1, 2)),
        "L5": _labelled(to_arrow, layer=layers, end=("x", "y")),
        "L4": _labelled(mixing, layer=layers, example=shots, arrow=shots),
    }


def _mixing(
    model: LinearTransformer,
    D: Float[Tensor, "position position"],
    matrices: dict[str, Float[Tensor, "layer d d"]],
) -> dict[str, xr.DataArray]:
    """The map of examples and query to the answer, which does not depend on gauge.

    Two layers with C_1 = 0 answer the sum over i and j of T_ij (y_i, x_j, x), T_ij being a map of
    these three vectors. With A, B and C in their sets it is K_ij y_i (x_j . x), as
    `theory.mixing_matrix` has it; K is the part of T that is so, `rest` the length of what is not.
    """
    n, d = model.examples, model.d
    x, y = (model.format.tokens(role, n + 1) for role in (Role.X, Role.Y))
    (A, _), (B, B2), (_, C) = matrices["A"], matrices["B"], matrices["C"]
    eye, one = torch.eye(d, dtype=D.dtype), torch.eye(len(D), dtype=D.dtype)

    def moved(ends: slice, weight: Tensor) -> Float[Tensor, "example token d d"]:
        rows = (one[ends], D[ends])
        kept, taken = (each[:n, :-1, None, None] for each in rows)
        return kept * eye + taken * weight / n

    asked = D[x][-1, -1] / n * A
    left = B2 @ moved(y, B) / n
    right = moved(x, A).mT @ C @ asked
    T = einsum(left, right, "i t out y, j t x query -> i j out y x query")
    K = einsum(T, "i j out out x x -> i j") / d**2
    rest = T - einsum(K, eye, eye, "i j, out y, x query -> i j out y x query")
    examples = range(1, n + 1)
    return {
        "K": _labelled(K, y_of=examples, x_of=examples),
        "rest": xr.DataArray(float(rest.norm())),
    }


def _token_labels(model: LinearTransformer) -> list[str]:
    """x1, arrow1, y1, .., and those of the query."""
    shots = [*map(str, range(1, model.examples + 1)), " query"]
    return [f"{role}{shot}" for shot in shots for role in model.format.roles]


def _labelled(values: Tensor, **coordinates: Sequence) -> xr.DataArray:
    return xr.DataArray(values.numpy(), coords={k: list(v) for k, v in coordinates.items()})
