"""The task vectors that a model makes of its contexts, labelled."""

import numpy as np
import torch
import xarray as xr
from transformer_lens import HookedRootModule

from tvlens.base.progress import progress
from tvlens.interventions.contexts import Contexts
from tvlens.interventions.patching import count_layers
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import TaskVectors
from tvlens.tasks import Task, best_estimates, describe_parameters, probe_targets


@torch.inference_mode()
def read_task_vectors(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> TaskVectors:
    """The vectors at every layer and context length.

    Geometry, decodability and disentanglement are read off the same vectors.

    Args:
        task: names the result, and says what the params mean (`tvlens.tasks.parameters`).
        episodes: contexts, several of each function (`sample_contexts`).
    """
    carrier, layers = carrier_of(format), range(count_layers(model) + 1)
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "reading vectors"):
        contexts = Contexts(model, format, episodes[some])
        vectors = [contexts.vectors(layer, carrier) for layer in layers]
        parts.append(torch.stack(vectors, dim=1).cpu())
    first = format.first_length(carrier)
    params = episodes.params.cpu().numpy()
    described = describe_parameters(task, params.shape[1])
    targets = probe_targets(task, episodes.params)
    _, functions = np.unique(params, axis=0, return_inverse=True)
    data = xr.Dataset(
        {
            "vectors": (("episode", "layer", "examples", "component"), torch.cat(parts).numpy()),
            "params": (("episode", "param"), params),
            "targets": (("episode", "target"), torch.stack([*targets.values()], 1).cpu().numpy()),
            "x": (("episode", "examples", "d_x"), episodes.x[:, first:].cpu().numpy()),
            "y": (("episode", "examples", "d_y"), episodes.y[:, first:].cpu().numpy()),
        },
        coords={
            "layer": layers,
            "examples": range(first, episodes.shots),
            "function": ("episode", functions.reshape(-1)),
            "param": [each.name for each in described],
            "period": ("param", [float(each.period or np.nan) for each in described]),
            "target": list(targets),
        },
        attrs=stamp(task, format, carrier_sees_query=int(format.carrier_sees_query)),
    )
    estimates = best_estimates(task, episodes)
    if estimates is not None:
        dimensions = ("episode", "examples", "target")
        data["best_estimates"] = (dimensions, estimates[:, first:].cpu().numpy())
    return TaskVectors(data)
