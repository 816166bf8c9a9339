"""When, in a training, does a task vector come to be?"""

from collections.abc import Iterable
from itertools import chain, islice

import numpy as np
from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.clusters import measure_geometry
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, SNAPSHOTS, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.vectors import read_task_vectors
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import Emergence
from tvlens.subjects import Subject
from tvlens.tasks import Task


@asks(ONE_MODEL, CARRIER, LAYER, SNAPSHOTS)
def emergence(
    subject: Subject,
    *,
    functions: int = 12,
    contexts: int = 20,
    position_ids: PositionIds | None = None,
) -> Emergence:
    """Locality map and geometry of every model along a training.

    Args:
        subject: the model whose training is followed.
        functions: functions whose vectors are compared.
        contexts: contexts of each function.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    return measure_emergence(
        subject.snapshots() if subject.snapshots is not None else (),
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        subject.contexts(functions, contexts)[0],
        layer=subject.layer,
        generator=subject.generator(),
        position_ids=position_ids,
    )


def measure_emergence(
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
    """The same, of plain data.

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
        InputError: there are fewer than two models, or what `measure_geometry` asks for is not
            there.
    """
    models = iter(models)
    first = list(islice(models, 2))
    if len(first) < 2:
        raise InputError(f"Emergence needs at least 2 models along a training, got {len(first)}.")
    untrained, state = first[0][1], generator.get_state()
    maps, geometries = {}, {}
    for step, model in progress(chain(first, models), "models along the training"):
        vectors = read_task_vectors(model, task, format, contexts)
        shuffle = np.random.default_rng(0)
        geometries[step] = measure_geometry(vectors, layer=layer, generator=shuffle)
        maps[step] = measure_locality_map(
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
