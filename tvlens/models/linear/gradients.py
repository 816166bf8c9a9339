"""Gradients of the risk along and across the structured sets."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import functional_call

from tvlens import theory
from tvlens.models import LinearTransformer
from tvlens.models.linear.weights import live_entries
from tvlens.prompts import Episodes
from tvlens.tasks import MatrixRegression
from tvlens.tasks.covariance import covariance_power


def split_gradients(
    model: LinearTransformer,
    task: MatrixRegression,
    episodes: Episodes,
    changed: dict[str, Tensor],
    kept: Bool[Tensor, "layer episode position"] | None,
    batches: int,
) -> tuple[Float[Tensor, "batch weight"], Float[Tensor, "batch weight"]]:
    """Gradients of the error: their parts in the tangents of the sets at the weights, and the rest.

    Args:
        model: with A, B, C and D.
        task: says what x is distributed as, and the error.
        episodes: the error is the mean over those of a batch.
        changed: weights that are not those of the model, by name.
        kept: what dropout leaves; all if None.
        batches: parts of the episodes that have a gradient of their own.
    """
    weights = {name: w.detach().clone() for name, w in model.named_parameters()} | changed
    weights = {name: w.requires_grad_() for name, w in weights.items()}
    inside, outside = [], []
    for batch in torch.arange(episodes.batch).chunk(batches):
        some = slice(int(batch[0]), int(batch[-1]) + 1)
        prompt = model.format.context(episodes[some])
        options = {"only": slice(-1, None), "kept": None if kept is None else kept[:, some]}
        with torch.enable_grad():
            answers = functional_call(model, weights, (prompt.inputs, prompt.position_ids), options)
            error = task.error(answers[:, 0], episodes.target[some, -1]).mean()
            found = torch.autograd.grad(error, list(weights.values()), allow_unused=True)
        pairs = [
            _split(model, task, name, w, torch.zeros_like(w) if g is None else g)
            for (name, w), g in zip(weights.items(), found, strict=True)
        ]
        inside.append(torch.cat([within.flatten() for within, _ in pairs]))
        outside.append(torch.cat([rest.flatten() for _, rest in pairs]))
    return torch.stack(inside), torch.stack(outside)


def _split(
    model: LinearTransformer, task: MatrixRegression, name: str, weight: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """A gradient as what is tangent to the set of its weight, and the rest; in float64."""
    _, block, _, kind = name.split(".")
    gradient, weight = gradient.cpu().double(), weight.detach().cpu().double()
    if kind == "D":
        D = weight * live_entries(model, int(block) + 1)
        within = theory.project_tangent(gradient, D, model.format)
    elif weight.dim() == 0:
        within = gradient
    elif kind == "C":
        inverse = covariance_power(task.covariance, model.d, -1.0, gradient)
        within = theory.project_precision(gradient, inverse)
    else:
        within = theory.project_identity(gradient)
    return within, gradient - within
