"""The errors that every analysis is read against: full context, no context, and the oracle."""

import numpy as np
import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import Site, count_layers
from tvlens.interventions.residual_stream import residual_stream
from tvlens.interventions.task_vectors import task_vector_predictions
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.tasks import Task, oracle_predictions


def label_errors(errors: Float[Tensor, "episode examples"], first: int = 0) -> xr.DataArray:
    """Errors labelled by the number of examples, which counts from `first`."""
    coords = {"examples": range(first, first + errors.shape[1])}
    return xr.DataArray(errors.float().cpu().numpy(), coords, ("episode", "examples"))


def icl_errors(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> xr.DataArray:
    """Errors (episode, examples) of in-context learning, from one pass."""
    return label_errors(task.error(Contexts(model, format, episodes).answers(), episodes.target))


def task_vector_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    layer: int,
    position_ids: PositionIds | None = None,
) -> xr.DataArray:
    """Errors (episode, examples) of task-vector prompting with the carrier's vector of a layer.

    Args:
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
    """
    carrier = carrier_of(format)
    site, first = Site(layer, carrier), format.first_length(carrier)
    predictions = task_vector_predictions(model, format, episodes, queries, site, position_ids)
    return label_errors(task.error(predictions, queries.target[:, first:]), first)


@torch.inference_mode()
def best_layer(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    position_ids: PositionIds | None = None,
) -> int:
    """The layer between two blocks whose task vector serves best at the longest context.

    The first and the last layer have no part: an embedding knows no context, and what is written
    after the last block is the answer itself or nothing. Choose on other episodes than those that
    are reported on: the best of several is best partly by chance.

    Raises:
        InputError: the model has a single block, and so no layer between two.
    """
    layers = range(1, count_layers(model))
    if not layers:
        raise InputError("A model of one block has no layer between two blocks; name a layer.")
    errors = [
        task_vector_errors(model, task, format, episodes, queries, layer, position_ids)
        for layer in layers
    ]
    return layers[int(np.argmin([float(each[:, -1].mean()) for each in errors]))]


def zero_shot_errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    queries: Episodes,
    position_ids: PositionIds | None = None,
) -> xr.DataArray:
    """Errors (episode, examples) of prompts without a context; `examples` only tells the query."""
    lengths = torch.arange(queries.shots, device=queries.x.device)[None]
    prompt = format.zero_shot(queries, lengths, position_ids)
    answers = residual_stream(model, prompt).answer()
    answers = rearrange(answers, "(batch shot) d -> batch shot d", shot=queries.shots)
    return label_errors(task.error(answers, queries.target))


def oracle_errors(task: Task, episodes: Episodes) -> xr.DataArray:
    """Errors (episode, examples) of the best predictor there is, on the same contexts."""
    return label_errors(task.error(oracle_predictions(task, episodes, episodes), episodes.target))
