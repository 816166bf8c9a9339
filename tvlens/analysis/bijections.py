"""How many items of a map does one vector serve, and what are the wrong answers?"""

from dataclasses import replace
from typing import cast

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Generator, Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_LAYOUT, ONE_MODEL, SYMBOL_MAPS, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, count_layers
from tvlens.interventions.residual_stream import last_vectors, residual_stream
from tvlens.prompts import Episodes, Format, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import BijectionAnswers
from tvlens.subjects import Subject
from tvlens.tasks import Bijections, Direction, MapKind, Relations, SymbolMaps

READINGS = ("one dummy", "two dummies", "another function")
PROMPTS = ("context", "zero-shot")
LAST = slice(-1, None)
MOST_PAIRS = {Direction.FORWARD: 4, Direction.INVERSE: 2, Direction.BOTH: 3, Direction.COPY: 2}
"""The most pairs that are asked, in each direction; each number of pairs up to there is."""


@asks(ONE_MODEL, CARRIER, SYMBOL_MAPS, ONE_LAYOUT)
def bijections(subject: Subject) -> BijectionAnswers:
    """What a model answers in context, zero-shot, and with one vector, by kind of map.

    Maps of every kind are asked, whatever the task of the subject has.

    Args:
        subject: a model of maps between symbols.
    """
    task = every_kind(cast(SymbolMaps, subject.task))
    return measure_bijections(
        subject.model, task, subject.format, *subject.sample(task), generator=subject.generator()
    )


def every_kind(task: SymbolMaps) -> SymbolMaps:
    """The same task with maps of every kind."""
    if isinstance(task, Relations):
        return replace(task, directions=(Direction.FORWARD, Direction.INVERSE, Direction.BOTH))
    if isinstance(task, Bijections):
        sizes = [(way, pairs + 1) for way, most in MOST_PAIRS.items() for pairs in range(most)]
        return replace(task, mixture=tuple(MapKind(*each) for each in sizes))
    return task


@torch.inference_mode()
def measure_bijections(
    model: HookedRootModule,
    task: SymbolMaps,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    generator: Generator,
) -> BijectionAnswers:
    """The same, of plain data.

    Args:
        model: what is asked.
        task: its kinds of maps are told apart.
        format: how examples become tokens.
        episodes: the contexts: all examples but the last, in place of which stands a query.
        queries: other examples of the same functions (`fresh_queries`); the last is asked.
        generator: draws dummy queries from the items of each function.

    Raises:
        InputError: half of the episodes or more are of one function.
    """
    first, second = (task.sample_inputs(episodes.params, 1, generator=generator) for _ in range(2))
    query = queries.x[:, LAST]
    tokens = 3 * format.n_tokens(episodes.shots)
    rows = list(chunks(episodes, tokens))
    read, context = [], []
    for some in progress(rows, "reading"):
        streams = [
            residual_stream(model, format.context(_asking(episodes[some], x[some])))
            for x in (first, second, query)
        ]
        one, two = (last_vectors(stream, carrier_of(format)) for stream in streams[:2])
        read.append(torch.stack([one, (one + two) / 2], dim=1))
        context.append(streams[2].answer().argmax(-1))
    vectors = torch.cat(read)
    control = vectors[_of_others(episodes.params), 0]
    vectors = torch.cat([vectors, control[:, None]], dim=1)
    with_vector, zero_shot = [], []
    for some in progress(rows, "writing"):
        answers = _prompted(model, format, queries[some], vectors[some])
        with_vector.append(answers[0])
        zero_shot.append(answers[1])
    image = task.images(episodes.params)
    x, d1, d2 = (each[:, 0].argmax(-1) for each in (query, first, second))
    dummies = [d1[:, None], torch.stack([d1, d2], dim=1), d1[:, None].new_empty(len(d1), 0)]
    answer = torch.cat(with_vector)
    outcome = [_outcomes(answer[:, i], image, x, each) for i, each in enumerate(dummies)]
    plain = torch.stack([torch.cat(context), torch.cat(zero_shot)], dim=1)
    same = torch.stack([(each == x[:, None]).any(1) for each in dummies], dim=1)
    return BijectionAnswers(
        xr.Dataset(
            {
                "answer": (("episode", "reading", "layer"), _bytes(torch.stack(outcome, dim=1))),
                "plain": (("episode", "prompt"), _bytes(_outcomes(plain, image, x, dummies[-1]))),
                "same": (("episode", "reading"), _bytes(same)),
                "kind_of": ("episode", _bytes(episodes.params[:, 0])),
                "items": ("kind", [kind.items for kind in task.kinds]),
            },
            coords={
                "kind": [kind.name for kind in task.kinds],
                "reading": list(READINGS),
                "layer": range(count_layers(model) + 1),
                "prompt": list(PROMPTS),
            },
            attrs={
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _asking(episodes: Episodes, x: Float[Tensor, "batch 1 d_x"]) -> Episodes:
    """The same examples with another query at the end."""
    asked = torch.cat([episodes.x[:, :-1], x], dim=1)
    return Episodes(asked, episodes.y, episodes.target, episodes.params)


def _of_others(params: Float[Tensor, "batch d_params"]) -> Int[Tensor, " batch"]:
    """For each episode another one, of another function."""
    _, function, counts = params.unique(dim=0, return_inverse=True, return_counts=True)
    largest = int(counts.max())
    if 2 * largest > len(params):
        raise InputError(
            f"{largest} of {len(params)} episodes are of one function, so that not all others can "
            "have the vector of another as a control; draw more functions."
        )
    order = function.argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, order.roll(largest))


def _prompted(
    model: HookedRootModule,
    format: Format,
    queries: Episodes,
    vectors: Float[Tensor, "batch reading layer d_model"],
) -> tuple[Int[Tensor, "batch reading layer"], Int[Tensor, " batch"]]:
    """The symbols answered to zero-shot prompts, with each vector and without."""
    lengths = torch.full((1, 1), queries.shots - 1, device=queries.x.device)
    stream = residual_stream(model, format.zero_shot(queries, lengths))
    answers = [
        stream.answer({Site(layer, carrier_of(format)): vectors[:, reading, layer, None]}).argmax(
            -1
        )
        for reading in range(vectors.shape[1])
        for layer in range(vectors.shape[2])
    ]
    shape = vectors.shape[:3]
    return torch.stack(answers, dim=1).reshape(shape), stream.answer().argmax(-1)


def _outcomes(
    answer: Int[Tensor, "batch cell"],
    image: Int[Tensor, "batch d_x"],
    query: Int[Tensor, " batch"],
    dummies: Int[Tensor, "batch dummy"],
) -> Int[Tensor, "batch cell"]:
    """The first of `OUTCOMES` that each answer is."""
    answer, x = answer[..., None], query[:, None, None]
    d, f_d = dummies[:, None], image.gather(1, dummies)[:, None]
    is_dummys, copies = (answer == f_d).any(-1), (answer == x).any(-1)
    tests = [
        (answer == image.gather(1, query[:, None])[:, None]).any(-1),
        is_dummys & ~copies,
        is_dummys & copies,
        copies,
        (answer == d).any(-1),
        (answer == image[:, None]).any(-1),
        torch.ones_like(copies),
    ]
    return torch.stack(tests).int().argmax(0)


def _bytes(values: Tensor):
    return values.to(torch.int8).cpu().numpy()
