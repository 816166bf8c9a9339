"""Do several vectors serve better than one, beside some examples?"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import (
    CARRIER,
    CARRIER_IN_EVERY_PROMPT,
    INNER_LAYER,
    ONE_MODEL,
    asks,
)
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, count_layers
from tvlens.interventions.residual_stream import residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, Prompt, Role, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import SeveralVectors
from tvlens.results.several_vectors import IN_CONTEXT, WAYS
from tvlens.subjects import Subject
from tvlens.tasks import Task

DUMMIES = ("one", "two")
CONTEXTS = 5
"""Of each function, and one more than the most examples beside vectors."""


@asks(ONE_MODEL, CARRIER, CARRIER_IN_EVERY_PROMPT, INNER_LAYER)
def several_vectors(subject: Subject) -> SeveralVectors:
    """Errors of prompts of N = 0, 1, .. examples, with vectors of other contexts on their carriers.

    Vectors are read and written at all layers between two blocks. What the arrays mean is in
    `SeveralVectors`.

    Args:
        subject: the model that is asked.
    """
    count = min(CONTEXTS, subject.test.shots)
    contexts, fresh = subject.contexts(subject.test.episodes, count)
    return measure_several_vectors(
        subject.model, subject.task, subject.format, fresh[::count], contexts
    )


@torch.inference_mode()
def measure_several_vectors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    contexts: Episodes,
) -> SeveralVectors:
    """The same, of plain data.

    Args:
        model: what is asked.
        task: gives the error.
        format: its carrier is the token, of an example and of a query, that vectors are read from
            and written to.
        episodes: what is asked, the last example, and before it those that are shown.
        contexts: of the same functions, so many for each: rows "(function context)", as
            `sample_contexts` draws them. N goes up to their number less one. Their last x are the
            dummies; functions whose query is among these are left out.

    Raises:
        InputError: the functions or shots do not fit, a prompt has not one carrier for each
            example and query, or the model has a single block.
    """
    carrier = carrier_of(format)
    per_function = _check(model, format, episodes, contexts)
    kept = _queries_unseen(episodes, contexts)
    tokens = format.context(contexts[:1]).length
    together = 2 * per_function * tokens
    errors, plain = [], []
    for rows in progress(list(chunks(episodes, together)), "writing several vectors"):
        some = episodes[rows]
        own = contexts[slice(rows.start * per_function, rows.stop * per_function)]
        vectors = _read(model, format, own, per_function)
        prompts = [
            format.context(some.some_shots(slice(-n - 1, None))) for n in range(per_function)
        ]
        found = [_answers(model, carrier, prompt, vectors) for prompt in prompts]
        target = some.target[:, -1]
        written = torch.stack([each for _, each in found], dim=1)
        errors.append(task.error(written, _spread(target, written)))
        untouched = torch.stack([each for each, _ in found], dim=1)
        plain.append(task.error(untouched, _spread(target, untouched)))
    return SeveralVectors(
        xr.Dataset(
            {
                "errors": (
                    ("episode", "examples", "layer", "dummies", "way"),
                    torch.cat(errors)[kept].float().cpu().numpy(),
                ),
                "in_context": (
                    ("episode", "examples"),
                    torch.cat(plain)[kept].float().cpu().numpy(),
                ),
            },
            coords={
                "examples": range(per_function),
                "layer": range(1, count_layers(model)),
                "dummies": list(DUMMIES),
                "way": [way for way in WAYS if way != IN_CONTEXT],
            },
            attrs=stamp(task, format, contexts=per_function, length=contexts.shots - 1),
        )
    )


def _check(
    model: HookedRootModule,
    format: Format,
    episodes: Episodes,
    contexts: Episodes,
) -> int:
    """How many contexts there are for each function."""
    carrier = carrier_of(format)
    count, rest = divmod(contexts.batch, episodes.batch)
    same = not rest and torch.equal(
        contexts.params, episodes.params.repeat_interleave(count, dim=0)
    )
    if not same or min(episodes.shots, contexts.shots) < count:
        raise InputError(
            "`contexts` must hold as many contexts for each function of the episodes, one function "
            f"after the other, and both at least that many shots; got {contexts.batch} contexts of "
            f"{contexts.shots} shots and {episodes.batch} episodes of {episodes.shots}."
        )
    for n in range(count):
        prompt = format.context(episodes[:1].some_shots(slice(-n - 1, None)))
        found = prompt.places(carrier).count if carrier in prompt.present else 0
        if found != n + 1:
            raise InputError(
                f"A prompt of {n} examples needs {n + 1} tokens {str(carrier)!r}, one for each and "
                f"one for the query; it has {found}."
            )
    if count_layers(model) < 2:
        raise InputError("A model of one block has no layer between two blocks.")
    return count


def _queries_unseen(episodes: Episodes, contexts: Episodes) -> Bool[Tensor, " function"]:
    """Whether a query is none of the dummies of its function."""
    dummies = rearrange(contexts.x[:, -1], "(f c) d -> f c d", f=episodes.batch)
    kept = (dummies != episodes.x[:, -1:]).any(-1).all(-1)
    if kept.sum() < 4:
        raise InputError(
            f"{int((~kept).sum())} of {len(kept)} queries are dummies of their own contexts, whose "
            "vectors may hold their answer; draw more, or fewer contexts for each."
        )
    return kept


def _read(
    model: HookedRootModule, format: Format, contexts: Episodes, per_function: int
) -> dict[int, Float[Tensor, "dummies function context carrier d_model"]]:
    """The vectors of the last carriers of each context, by layer."""
    # The dummy of the next context of the same function is the second one.
    row = torch.arange(contexts.batch, device=contexts.x.device).unflatten(0, (-1, per_function))
    again = contexts.asking(contexts[row.roll(-1, dims=1).flatten()])
    streams = [residual_stream(model, format.context(each)) for each in (contexts, again)]
    vectors = {}
    for layer in range(1, streams[0].n_layers):
        one, two = (
            stream.read(Site(layer, carrier_of(format)))[:, -per_function:] for stream in streams
        )
        both = torch.stack([one, (one + two) / 2])
        vectors[layer] = rearrange(both, "dummies (f c) k d -> dummies f c k d", c=per_function)
    return vectors


def _answers(
    model: HookedRootModule,
    carrier: Role,
    prompt: Prompt,
    vectors: Mapping[int, Float[Tensor, "dummies function context carrier d_model"]],
) -> tuple[Float[Tensor, "function d_out"], Float[Tensor, "function layer dummies way d_out"]]:
    """Answers with nothing written, and with vectors in each way."""
    stream, count = residual_stream(model, prompt), prompt.places(carrier).count
    answers = [
        stream.answer(values)
        for layer, of_both in vectors.items()
        for each in of_both
        for values in _values(Site(layer, carrier), each, count)
    ]
    shape = (len(vectors), len(DUMMIES), len(WAYS) - 1)
    return stream.answer(), torch.stack(answers, dim=1).unflatten(1, shape)


def _values(
    site: Site, vectors: Float[Tensor, "function context carrier d_model"], count: int
) -> list[dict[Site, Float[Tensor, "function _ d_model"]]]:
    """What is written on `count` carriers, in the order of `WAYS` without the first."""
    last_of_each, last = vectors[:, :, -1], replace(site, occurrence=-1)
    return [
        {last: last_of_each[:, :1]},
        {site: last_of_each[:, :1].expand(-1, count, -1)},
        {site: last_of_each[:, :count].roll(-1, dims=1)},
        {site: vectors[:, 0, -count:]},
        {last: last_of_each.mean(1, keepdim=True)},
    ]


def _spread(
    target: Float[Tensor, "batch d_y"], answers: Float[Tensor, "batch *cell d_out"]
) -> Float[Tensor, "batch *cell d_y"]:
    """The target of each answer."""
    between = (1,) * (answers.ndim - 2)
    spread = target.reshape(len(target), *between, -1)
    return spread.expand(*answers.shape[:-1], -1).to(answers)
