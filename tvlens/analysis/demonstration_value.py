"""How many examples is a task vector of a linear transformer worth?"""

from collections.abc import Sequence
from typing import cast

import torch
import xarray as xr
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from tvlens.analysis.shared.needs import CARRIER, INNER_LAYER, LINEAR, OWN_LENGTH, asks
from tvlens.analysis.shared.vector_layer import vector_layer
from tvlens.interventions.injections import (
    SOURCES,
    Injection,
    Missing,
    asking,
    check_triplets,
    context_answers,
    injected_answers,
    read_vectors,
    with_controls,
)
from tvlens.models import LinearTransformer
from tvlens.prompts import Episodes
from tvlens.results import DemonstrationValue
from tvlens.subjects import Subject
from tvlens.tasks import Task

METRICS = ("error", "direction")


@asks(LINEAR, CARRIER, INNER_LAYER, OWN_LENGTH)
def demonstration_value(subject: Subject) -> DemonstrationValue:
    """Errors of contexts of 0 to n examples, and of one or more vectors without any.

    Args:
        subject: linear transformers whose prompts have a carrier, one for each seed.
    """
    return measure_demonstration_value(
        cast(tuple[LinearTransformer, ...], subject.models),
        subject.task,
        subject.episodes,
        subject.queries,
        generator=subject.generator(),
        layer=vector_layer(subject),
    )


@torch.inference_mode()
def measure_demonstration_value(
    models: Sequence[LinearTransformer],
    task: Task,
    episodes: Episodes,
    queries: Episodes,
    *,
    generator: Generator,
    layer: int = 1,
) -> DemonstrationValue:
    """The same, of plain data.

    Args:
        models: of triplets, of one length n and depth, of several seeds.
        task: what they are asked; `CollinearRegression` is what figure 4c of arXiv 2506.09048 asks.
        episodes: the examples; the last x ends the contexts that vectors are read from.
        queries: other examples of the same functions (`fresh_queries`); the last is asked.
        generator: draws the random control, the same for all models.
        layer: of vectors in `Injection.CORRECTED`.

    Raises:
        InputError: the models are of several kinds, or the episodes are not theirs.
    """
    check_triplets(models, episodes, queries, layer)
    asked, seed = asking(episodes, queries), generator.initial_seed()
    contexts, injected = [], []
    for model in models:
        of_all = [
            [context_answers(model, asked, n, missing) for n in range(episodes.shots)]
            for missing in Missing
        ]
        contexts.append(torch.stack([torch.stack(each, dim=1) for each in of_all], dim=1))
        same = Generator(generator.device).manual_seed(seed)
        injected.append(_with_vectors(model, episodes, asked.x[:, -1], layer, same))
    target = asked.target[:, -1]
    dims = ("metric", "seed", "episode")
    return DemonstrationValue(
        xr.Dataset(
            {
                "context": ((*dims, "missing", "examples"), _metrics(task, contexts, target)),
                "vectors": (
                    (*dims, "injection", "source", "number"),
                    _metrics(task, injected, target),
                ),
            },
            coords={
                "metric": list(METRICS),
                "missing": [each.value for each in Missing],
                "examples": range(episodes.shots),
                "injection": [each.value for each in Injection],
                "source": list(SOURCES),
                "number": range(1, episodes.shots + 1),
            },
            attrs={"layer": layer, "task": type(task).__name__},
        )
    )


def _with_vectors(
    model: LinearTransformer,
    episodes: Episodes,
    query: Float[Tensor, "batch d"],
    layer: int,
    generator: Generator,
) -> Float[Tensor, "batch injection source number d"]:
    parts = []
    for injection in Injection:
        vectors = read_vectors(model, episodes, injection, layer)
        for each in with_controls(vectors, generator=generator):
            parts += [
                injected_answers(model, query, each[:, -number:], injection, layer)
                for number in range(1, episodes.shots + 1)
            ]
    stacked = torch.stack(parts, dim=1)
    return stacked.unflatten(1, (len(Injection), len(SOURCES), episodes.shots))


def _metrics(task: Task, answers: list[Tensor], target: Float[Tensor, "batch d"]):
    """Errors and directions (metric, seed, batch, ..) of answers (batch, .., d) of each seed."""
    stacked = torch.stack(answers)
    targets = target.reshape(1, len(target), *(1,) * (stacked.ndim - 3), -1).expand_as(stacked)
    cosine = (F.normalize(stacked, dim=-1) * F.normalize(targets, dim=-1)).sum(-1)
    return torch.stack([task.error(stacked, targets), 2 - 2 * cosine]).cpu().numpy()
