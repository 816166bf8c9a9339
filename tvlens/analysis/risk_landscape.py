"""Is a trained linear transformer at a minimum within the structured set, and what lies around?"""

from collections.abc import Sequence
from typing import cast

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.func import functional_call, vmap

from tvlens import theory
from tvlens.analysis.shared.needs import (
    INNER_LAYER,
    LINEAR,
    MATRICES,
    OWN_LENGTH,
    STRUCTURED,
    asks,
)
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.models import AttentionWeights, FirstLayer, LinearTransformer
from tvlens.models.linear.directions import Direction, directions, scale_of_steps
from tvlens.models.linear.gradients import split_gradients
from tvlens.models.linear.weights import (
    check_alike,
    live_bias,
    nearest_structure,
    structured_layers,
)
from tvlens.prompts import Episodes
from tvlens.prompts.chunks import chunks
from tvlens.results import RiskLandscape
from tvlens.subjects import Subject
from tvlens.tasks import MatrixRegression
from tvlens.tasks.covariance import covariance_power

STEPS = tuple(step / 8 for step in range(-8, 9))
"""Where the weights are taken, in the units of `RiskLandscape`."""
BATCHES = 16
"""Parts of the episodes whose gradients are taken by themselves."""
AWAY = 0.1
"""How far from the set a gradient is taken to compare with."""


@asks(LINEAR, STRUCTURED, INNER_LAYER, MATRICES, OWN_LENGTH)
def risk_landscape(
    subject: Subject, *, steps: tuple[float, ...] = STEPS, draws: int = 8
) -> RiskLandscape:
    """Errors as weights move along the structured set of arXiv 2506.09048, section 3, and off it.

    See `RiskLandscape`, and `tvlens.models.linear.directions.directions` for where they move.

    Args:
        subject: linear transformers of pairs or triplets, one for each seed.
        steps: how far weights move; 0 has to be among them.
        draws: random directions across the set for each layer.
    """
    return measure_risk_landscape(
        cast(tuple[LinearTransformer, ...], subject.models),
        cast(MatrixRegression, subject.task),
        subject.episodes,
        generator=Generator().manual_seed(subject.generator().initial_seed()),
        steps=steps,
        draws=draws,
    )


def measure_risk_landscape(
    models: Sequence[LinearTransformer],
    task: MatrixRegression,
    episodes: Episodes,
    *,
    generator: Generator,
    steps: Sequence[float] = STEPS,
    draws: int = 8,
) -> RiskLandscape:
    """The same, of plain data.

    Args:
        models: of one kind, with two layers or more, on pairs or triplets.
        task: what they were trained on.
        episodes: on the models' device; of as many examples as they were trained for, and the one
            that is asked.
        generator: draws random directions, and the tokens that dropout loses; on the CPU.
        steps: how far; 0 has to be among them.
        draws: random directions across the set for each layer.

    Raises:
        InputError: models of several kinds, of one layer, or without A, B, C and D; steps without
            0; fewer episodes than batches of gradients.
    """
    _check(models, steps, episodes)
    kept = _kept_tokens(models[0], episodes, generator)
    found = []
    for model in progress(models, "risk landscape"):
        ways = list(directions(model, torch.tensor(steps), draws, generator=generator))
        arrays = {
            "error": _errors(model, task, episodes, ways, kept),
            "distance": _distances(model, ways),
            "gradient_products": _gradient_products(model, task, episodes, kept, ways),
        }
        data = {name: (dims, values.cpu().numpy()) for name, (dims, values) in arrays.items()}
        if _has_closed_form(model, task):
            data["closed_form"] = (("direction", "step"), _closed_form(model, ways).numpy())
        kinds = [each.kind for each in ways]
        parts = [each.part for each in ways]
        coordinates = {"kind": ("direction", kinds), "part": ("direction", parts)}
        found.append(xr.Dataset(data, coordinates))
    result = xr.concat(found, "seed").assign_coords(
        seed=range(1, len(models) + 1),
        step=list(steps),
        tokens=list(kept),
        point=list(_POINTS),
        component=["inside", "outside"],
    )
    model = models[0]
    attrs = {"format": model.format.name, "examples": model.examples, "d": model.d}
    if _is_plain(task):
        attrs["least_error"] = theory.optimal_risk(model.examples, model.d) / task.scale
        result["least"] = ("episode", _least_errors(task, episodes).cpu().numpy())
    return RiskLandscape(result.assign_attrs(attrs))


_POINTS = ("model", "nearest", "away")


def _check(models: Sequence[LinearTransformer], steps: Sequence[float], episodes: Episodes) -> None:
    check_alike(models)
    structured_layers(models[0])
    if models[0].n_layers < 2:
        raise InputError("A model of one layer has no set to move along; give one of two or more.")
    if 0 not in steps:
        raise InputError(f"The steps {list(steps)} lack 0, where the model itself is.")
    if episodes.shots != models[0].examples + 1 or episodes.batch < BATCHES:
        raise InputError(
            f"Expected at least {BATCHES} episodes of {models[0].examples + 1} shots, got "
            f"{episodes.batch} of {episodes.shots}."
        )


def _kept_tokens(
    model: LinearTransformer, episodes: Episodes, generator: Generator
) -> dict[str, Bool[Tensor, "layer batch position"] | None]:
    """Without dropout and, of models trained with it, with it; the same tokens for all weights."""
    if model.config.dropout.keep == 1:
        return {"all": None}
    kept = model.sample_kept(episodes.batch, generator=generator)
    return {"all": None, "dropped": kept.to(episodes.x.device)}


def _errors(
    model: LinearTransformer,
    task: MatrixRegression,
    episodes: Episodes,
    ways: Sequence[Direction],
    kept: dict[str, Tensor | None],
) -> tuple[tuple[str, ...], Float[Tensor, "direction tokens step episode"]]:
    """Every weight on every episode, a direction at once."""
    tokens = model.format.n_tokens(model.examples + 1)
    rows = []
    for way in ways:
        steps = len(next(iter(way.weights.values())))
        parts = [
            torch.stack([_error(model, task, episodes[some], way.weights, _rows(mask, some))
                         for mask in kept.values()])
            for some in chunks(episodes, steps * tokens)
        ]  # fmt: skip
        rows.append(torch.cat(parts, dim=-1))
    return ("direction", "tokens", "step", "episode"), torch.stack(rows)


@torch.no_grad()
def _error(
    model: LinearTransformer,
    task: MatrixRegression,
    episodes: Episodes,
    weights: dict[str, Tensor],
    kept: Tensor | None,
) -> Float[Tensor, "step episode"]:
    """Errors of many weights in one batched pass."""
    prompt = model.format.context(episodes)
    options = {"only": slice(-1, None), "kept": kept}

    def error(changed: dict[str, Tensor]) -> Tensor:
        inputs = (prompt.inputs, prompt.position_ids)
        answers = functional_call(model, changed, inputs, options)
        return task.error(answers[:, 0], episodes.target[:, -1])

    return vmap(error)(weights)


def _rows(kept: Tensor | None, some: slice) -> Tensor | None:
    return None if kept is None else kept[:, some]


def _distances(
    model: LinearTransformer, ways: Sequence[Direction]
) -> tuple[tuple[str, ...], Float[Tensor, "direction step"]]:
    """Length of the change of the weights."""
    own = dict(model.named_parameters())
    lengths = []
    for way in ways:
        changes = [moved - own[name].detach() for name, moved in way.weights.items()]
        lengths.append(torch.cat([each.reshape(len(each), -1) for each in changes], 1).norm(dim=1))
    return ("direction", "step"), torch.stack(lengths)


def _is_plain(task: MatrixRegression) -> bool:
    """Whether theory knows the least risk of two layers with C_1 = 0."""
    return type(task) is MatrixRegression and not task.noise


def _least_errors(task: MatrixRegression, episodes: Episodes) -> Float[Tensor, " episode"]:
    """Errors of the model that has this risk: the prediction -kappa Y X^T S^-1 x."""
    x, query = episodes.x[:, :-1], episodes.x[:, -1:]
    kappa = theory.optimal_mixing(x.shape[1], task.d)
    precision = covariance_power(task.covariance, task.d, -1.0, query)
    prediction = -kappa * (query @ precision @ x.mT) @ episodes.y[:, :-1]
    return task.error(prediction[:, 0], episodes.target[:, -1])


def _has_closed_form(model: LinearTransformer, task: MatrixRegression) -> bool:
    """Whether `theory.icl_risk` of K is the risk, as long as D moves nothing to or from the query
    but its x.
    """
    config = model.config
    plain = _is_plain(task) and not task.covariance
    blind = config.n_layers == 2 and config.first_layer is FirstLayer.BLIND and not config.causal
    return plain and blind and config.weights is AttentionWeights.SCALAR


@torch.no_grad()
def _closed_form(
    model: LinearTransformer, ways: Sequence[Direction]
) -> Float[Tensor, "direction step"]:
    """The error by theory, from the map of each weight alone."""
    own = {k: v.cpu().double() for k, v in model.state_dict().items()}
    rows = []
    for way in ways:
        changed = {name: moved.cpu().double() for name, moved in way.weights.items()}
        errors = []
        for step in range(len(next(iter(changed.values())))):
            w = own | {name: moved[step] for name, moved in changed.items()}
            K = theory.mixing_matrix(
                w["blocks.0.attn.D"],
                model.format,
                a=w["blocks.0.attn.A"],
                b=w["blocks.0.attn.B"],
                readout=w["blocks.1.attn.B"] * w["blocks.1.attn.C"],
            )
            errors.append(theory.icl_risk(K, model.d) / model.d**2)
        rows.append(torch.stack(errors))
    return torch.stack(rows)


def _gradient_products(
    model: LinearTransformer,
    task: MatrixRegression,
    episodes: Episodes,
    kept: dict[str, Tensor | None],
    ways: Sequence[Direction],
) -> tuple[tuple[str, ...], Float[Tensor, "point tokens component batch batch_"]]:
    """Inner products between the gradients of batches of episodes, in S_P and off it.

    At the model, at the nearest point of S_P, and a little off that in a random direction.
    """
    biases = {
        f"blocks.{layer - 1}.attn.D": nearest_structure(live_bias(model, layer), model.format)
        for layer in range(1, model.n_layers + 1)
    }
    nearest = {name: D.to(episodes.x) for name, D in biases.items()}
    name, off = next(iter(next(way for way in ways if way.kind == "across").weights.items()))
    change = off[-1] - dict(model.named_parameters())[name].detach()
    change = AWAY * scale_of_steps(model, 1) / change.norm() * change
    points = ({}, nearest, nearest | {name: nearest[name] + change})
    products = []
    for point in points:
        each = []
        for mask in kept.values():
            split = split_gradients(model, task, episodes, point, mask, BATCHES)
            each.append(torch.stack([part @ part.T for part in split]))
        products.append(torch.stack(each))
    return ("point", "tokens", "component", "batch", "batch_"), torch.stack(products)
