"""Up to which rank does a task vector of a linear transformer hold a map among items?"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int8
from torch import Generator, Tensor

from tvlens.analysis.shared.needs import CARRIER, INNER_LAYER, LINEAR, OWN_LENGTH, asks
from tvlens.analysis.shared.vector_layer import vector_layer
from tvlens.base.errors import InputError
from tvlens.interventions.injections import (
    Injection,
    Missing,
    asking,
    check_triplets,
    context_answers,
    injected_answers,
    read_vectors,
)
from tvlens.models import LinearTransformer
from tvlens.prompts import Episodes
from tvlens.results import RankSweep
from tvlens.subjects import Subject
from tvlens.tasks import ItemMap, OrthonormalItems, fresh_queries, sample_episodes

SOURCES = ("own", "another function")
Tests = Mapping[OrthonormalItems, tuple[Episodes, Episodes]]
"""For each map its episodes, and queries of the same functions, of which the last is asked."""


@asks(LINEAR, CARRIER, INNER_LAYER, OWN_LENGTH)
def rank_sweep(subject: Subject) -> RankSweep:
    """What contexts and vectors make models answer about maps of several ranks.

    Maps of every kind that their width has room for are asked, whatever the task of the subject.

    Args:
        subject: linear transformers whose prompts have a carrier, one for each seed.
    """
    models, test = cast(tuple[LinearTransformer, ...], subject.models), subject.test
    generator = Generator(subject.device).manual_seed(test.seed)
    tests = item_tests(models[0].d, test.examples, test.episodes, generator=generator)
    return measure_rank_sweep(models, tests, layer=vector_layer(subject))


def item_tests(d: int, examples: int, batch: int, *, generator: Generator) -> Tests:
    """Draw episodes of every kind of map that d dimensions have room for.

    Raises:
        InputError: they have room for none, or there are no examples.
    """
    if d < 2 or examples < 1:
        raise InputError(
            f"Maps between items need d >= 2 and examples >= 1, got {d} and {examples}."
        )
    tests = {}
    for pairs in range(1, d // 2 + 1):
        for each in ItemMap:
            task = OrthonormalItems(d, pairs, each)
            episodes = sample_episodes(task, batch, examples + 1, generator=generator)
            tests[task] = (episodes, fresh_queries(task, episodes, generator=generator))
    return tests


@torch.inference_mode()
def measure_rank_sweep(
    models: Sequence[LinearTransformer], tests: Tests, *, layer: int = 1
) -> RankSweep:
    """The same, of plain data.

    Args:
        models: of triplets, of one length n and depth, of several seeds.
        tests: as `item_tests` draws them; all of as many episodes.
        layer: of vectors in `Injection.CORRECTED`.

    Raises:
        InputError: the models are of several kinds, or the episodes are not theirs.
    """
    if len({episodes.x.shape for episodes, _ in tests.values()}) != 1:
        raise InputError("Expected tests of one number and length of episodes and one d.")
    shots = next(iter(tests.values()))[0].shots
    contexts, injected, shown = [], [], []
    for task, (episodes, queries) in tests.items():
        check_triplets(models, episodes, queries, layer)
        asked = asking(episodes, queries)
        found = [
            _outcomes(task, asked, _answers(model, episodes, asked, layer)) for model in models
        ]
        context, vectors = np.split(np.stack(found), [shots], axis=-1)
        contexts.append(context)
        injected.append(vectors.reshape(*vectors.shape[:2], len(Injection), len(SOURCES), shots))
        same = asked.x[:, :-1] @ asked.x[:, -1:].mT > 0.5
        shown.append(same.any(1)[:, 0].to(torch.int8).cpu().numpy())
    tasks, dims = list(tests), ("kind", "seed", "episode")
    return RankSweep(
        xr.Dataset(
            {
                "context": ((*dims, "examples"), np.stack(contexts)),
                "vectors": ((*dims, "injection", "source", "number"), np.stack(injected)),
                "shown": (("kind", "episode"), np.stack(shown)),
                "direction": ("kind", [task.map.value for task in tasks]),
                "pairs": ("kind", [task.pairs for task in tasks]),
                "rank": ("kind", [task.rank for task in tasks]),
            },
            coords={
                "kind": [task.name for task in tasks],
                "examples": range(shots),
                "injection": [each.value for each in Injection],
                "source": list(SOURCES),
                "number": range(1, shots + 1),
            },
            attrs={"layer": layer, "d": tasks[0].d},
        )
    )


def _answers(
    model: LinearTransformer, episodes: Episodes, asked: Episodes, layer: int
) -> Float[Tensor, "batch cell d"]:
    """Answers with 0 .. n examples, and then with vectors: (injection source number)."""
    answers = [context_answers(model, asked, n, Missing.CUT) for n in range(asked.shots)]
    for injection in Injection:
        own = read_vectors(model, episodes, injection, layer)
        answers += [
            injected_answers(model, asked.x[:, -1], vectors[:, -number:], injection, layer)
            for vectors in (own, own.roll(-1, 0))
            for number in range(1, asked.shots + 1)
        ]
    return torch.stack(answers, dim=1)


def _outcomes(
    task: OrthonormalItems, asked: Episodes, answers: Float[Tensor, "batch cell d"]
) -> Int8[np.ndarray, "batch cell"]:
    """Which of `tvlens.results.rank_sweep.OUTCOMES` each answer is."""
    count = 2 * task.pairs
    query, image = (task.nearest(asked.params, each[:, -1:]) for each in (asked.x, asked.target))
    answer = task.nearest(asked.params, answers)
    some, same_sign = answer >= 0, answer // count == image // count
    same_side = answer % count // task.pairs == image % count // task.pairs
    opposite = (image + count) % (2 * count)
    tests = [
        answer == image,
        answer == query,
        some & same_sign & same_side,
        some & same_sign,
        answer == opposite,
        some,
        ~some,
    ]
    return torch.stack(tests).int().argmax(0).to(torch.int8).cpu().numpy()
