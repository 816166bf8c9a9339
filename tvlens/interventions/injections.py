"""Contexts of a linear transformer, and the task vectors that stand in for them.

Two ways to give vectors to a prompt without examples are in use, and they do not agree: what the
published code of arXiv 2506.09048 does, and what task-vector prompting is elsewhere in tvlens. A
measurement names its own.
"""

import enum
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from tvlens.base.errors import InputError
from tvlens.interventions.patching import Site, read, write
from tvlens.models import LinearTransformer
from tvlens.models.linear.checks import check_linear
from tvlens.prompts import Episodes, carrier_of
from tvlens.tasks import check_same_functions

Vectors = Float[Tensor, "batch arrow width"]
SOURCES = ("own", "another function", "random", "zero")
"""Where the vectors of `with_controls` are from."""


class Injection(enum.StrEnum):
    """How vectors are read from a context and given to a prompt without examples."""

    PAPER = "paper"
    """As in the code of arXiv 2506.09048: the query's tokens are emptied while reading; what the
    first layer adds to an arrow is divided by its mean length over the batch, and becomes the INPUT
    at an arrow of a whole prompt of empty examples. Then all layers run."""
    CORRECTED = "corrected"
    """Task-vector prompting: read at a layer, in a context that ends in another query, and written
    at the same layer and arrow; the prompt has an empty example for each vector but the last, at
    the positions of the end."""


class Missing(enum.StrEnum):
    """What stands in for examples that a prompt is too short of."""

    CUT = "cut"
    """Nothing: the prompt has the last positions only."""
    EMPTY = "empty"
    """Empty tokens, which a layer writes to, and the next one reads."""


def context_answers(
    model: LinearTransformer, episodes: Episodes, examples: int, missing: Missing
) -> Float[Tensor, "batch d"]:
    """Answers to the last x of the episodes, from the last examples before it.

    Args:
        model: of triplets.
        episodes: the examples, and then what is asked.
        examples: how many of them are shown.
        missing: what becomes of the other positions.
    """
    shown = episodes.shots - 1 - examples
    if missing is Missing.CUT:
        prompted = episodes.some_shots(slice(shown, None))
    else:
        left = torch.arange(episodes.shots, device=episodes.x.device)[:, None] < shown
        x, y = (each.masked_fill(left, 0.0) for each in (episodes.x, episodes.y))
        prompted = replace(episodes, x=x, y=y)
    return model.answer(model.format.context(prompted))


def read_vectors(
    model: LinearTransformer, episodes: Episodes, injection: Injection, layer: int
) -> Vectors:
    """The vectors of all arrows of a context, that of the query last.

    Args:
        model: of triplets.
        episodes: the examples, and then the query that the context ends in.
        injection: how they are read.
        layer: for `Injection.CORRECTED`; the paper reads behind the first layer.
    """
    if injection is Injection.CORRECTED:
        return read(model, model.format.context(episodes), Site(layer, carrier_of(model.format)))
    x = F.pad(episodes.x[:, :-1], (0, 0, 0, 1))
    # Arrows are empty, so what they hold behind the first layer is what it adds.
    context = model.format.context(replace(episodes, x=x))
    updates = read(model, context, Site(1, carrier_of(model.format)))
    return updates / updates.norm(dim=-1, keepdim=True).mean(0)


def injected_answers(
    model: LinearTransformer,
    query: Float[Tensor, "batch d"],
    vectors: Vectors,
    injection: Injection,
    layer: int,
) -> Float[Tensor, "batch d"]:
    """Answers to queries without examples, with vectors at the last arrows.

    Args:
        model: of triplets.
        query: what is asked.
        vectors: for the last of the arrows, as `read_vectors` gives them.
        injection: how they are given.
        layer: for `Injection.CORRECTED`; the paper's are an input.

    Raises:
        InputError: there are more vectors than arrows.
    """
    arrows, count = model.examples + 1, vectors.shape[1]
    if count > arrows:
        raise InputError(f"A prompt of this model has {arrows} arrows, got {count} vectors.")
    if injection is Injection.PAPER:
        layer, vectors = 0, F.pad(vectors, (0, 0, arrows - count, 0))
    x = F.pad(query[:, None], (0, 0, vectors.shape[1] - 1, 0))
    empty = torch.zeros_like(x)
    prompt = model.format.context(Episodes(x, empty, empty, query))
    return write(model, prompt, Site(layer, carrier_of(model.format)), vectors)[:, -1]


def with_controls(
    vectors: Vectors, *, generator: Generator
) -> Float[Tensor, "source batch arrow width"]:
    """The vectors, those of the next function, random ones of the same lengths, and zeros."""
    drawn = torch.randn(vectors.shape, generator=generator, device=vectors.device).to(vectors)
    random = F.normalize(drawn, dim=-1) * vectors.norm(dim=-1, keepdim=True)
    return torch.stack([vectors, vectors.roll(-1, 0), random, torch.zeros_like(vectors)])


def check_triplets(
    models: Sequence[LinearTransformer], episodes: Episodes, queries: Episodes, layer: int
) -> None:
    """Raise InputError unless models of one kind can be asked with these episodes."""
    check_linear(models)
    kinds = {(each.format, each.examples, each.n_layers) for each in models}
    if len(kinds) != 1:
        raise InputError(f"Expected models of one format, length and depth, got {sorted(kinds)}.")
    format, examples, n_layers = kinds.pop()
    carrier = carrier_of(format)
    if episodes.shots != examples + 1:
        raise InputError(
            f"Expected episodes of {examples + 1} shots, {examples} examples and a query, got "
            f"{episodes.shots} shots."
        )
    check_same_functions(episodes, queries)
    if not 0 < layer < n_layers:
        raise InputError(
            f"At layer {layer} no {carrier} holds a task that is still read; take one between two "
            f"blocks, 1..{n_layers - 1}."
        )
