"""When, in a training, does a task vector come to be?"""

from collections.abc import Iterable
from itertools import chain, islice

import numpy as np
from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.analysis.geometry import geometry
from tvlens.analysis.locality_map import locality_map
from tvlens.analysis.task_vectors import task_vectors
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import Emergence
from tvlens.tasks import Task


def emergence(
    models: Iterable[tuple[int, HookedRootModule]],
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    contexts: Episodes,
    *,
    layer: int,
    generator: Generator,
    position_ids: PositionIds | None = None,
) -> Emergence:
    """Locality map and geometry of every model along a training.

    Args:
        models: each with the number of training steps it has seen, in order: `load_snapshots`. The
            first stands for an untrained model in the maps' control.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts of the maps.
        queries: fresh queries of the same functions.
        contexts: several contexts of each of some functions (`sample_contexts`), for the geometry.
        layer: whose vectors' principal components are kept.
        generator: draws the random controls, the same for every model.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: there are fewer than two models, or what `geometry` asks for is not there.
    """
    models = iter(models)
    first = list(islice(models, 2))
    if len(first) < 2:
        raise InputError(f"Emergence needs at least 2 models along a training, got {len(first)}.")
    untrained, state = first[0][1], generator.get_state()
    maps, geometries = {}, {}
    for step, model in progress(chain(first, models), "models along the training"):
        vectors = task_vectors(model, task, format, contexts)
        shuffle = np.random.default_rng(0)
        geometries[step] = geometry(vectors, layer=layer, generator=shuffle)
        maps[step] = locality_map(
            model,
            task,
            format,
            episodes,
            queries,
            untrained=untrained,
            generator=generator.set_state(state),
            position_ids=position_ids,
        )
    return Emergence.from_parts(maps, geometries)
