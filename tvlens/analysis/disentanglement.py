"""Does a task vector hold the task and nothing else?"""

import numpy as np
import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float, Int
from torch import Generator, Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.leakage import FOLDS, leakage
from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, WHOLE_ANSWERS, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.baselines import icl_errors, oracle_errors
from tvlens.interventions.patching import Site
from tvlens.interventions.residual_stream import ResidualStream, residual_stream
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Disentanglement, TaskVectors
from tvlens.subjects import Subject
from tvlens.tasks import Task

Rows = Int[np.ndarray, "function context"]
Vectors = Float[Tensor, "function vector layer d_model"]

_DIMENSIONS = {
    "tvp": ("function", "layer", "averaged"),
    **dict.fromkeys(("other", "own", "swapped", "disagreement"), ("function", "layer")),
    **dict.fromkeys(("icl", "zero_shot", "own_zero_shot", "oracle"), ("function",)),
}


@asks(ONE_MODEL, CARRIER, LAYER, WHOLE_ANSWERS)
def disentanglement(
    subject: Subject, *, contexts: int = 8, position_ids: PositionIds | None = None
) -> Disentanglement:
    """What the carrier's vector holds besides the function, at every layer.

    What the arrays mean is in `Disentanglement`.

    Args:
        subject: the model that is asked.
        contexts: test episodes of each function; their number in all is that of the test.
        position_ids: those of the zero-shot prompts; the format's own if None.

    Raises:
        InputError: that leaves fewer than 2 contexts of each of 10 functions.
    """
    functions = subject.test.episodes // max(contexts, 1)
    if contexts < 2 or functions < 10:
        raise InputError(
            f"{contexts} contexts of each function leave {functions} functions of "
            f"{subject.test.episodes} test episodes; give at least 2 contexts of each of 10 "
            "functions."
        )
    episodes, queries = subject.contexts(functions, contexts)
    return measure_disentanglement(
        subject.model,
        subject.task,
        subject.format,
        episodes,
        queries,
        subject.vectors(functions, contexts),
        layer=subject.layer,
        generator=subject.generator(),
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_disentanglement(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    vectors: TaskVectors,
    *,
    layer: int,
    generator: Generator,
    position_ids: PositionIds | None = None,
) -> Disentanglement:
    """The same, of plain data.

    A mean over contexts includes the context that it is compared with. That gives it no advantage:
    queries are new to all of the contexts.

    Args:
        model: what is asked.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: contexts, several of each function (`sample_contexts`).
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`). Each query is asked with the vectors of all contexts of its function.
        vectors: those of the same episodes (`read_task_vectors`).
        layer: the one that scores report.
        generator: draws the other function, and shuffles nuisances, for the controls.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: there are too few functions, contexts or examples, or the vectors are of other
            episodes.
    """
    _check(episodes, queries, vectors, layer)
    rows = _contexts(vectors.functions)
    contexts = rows.shape[1]
    averaged = sorted({2**power for power in range(contexts.bit_length())} | {contexts})
    own = torch.from_numpy(vectors.after().values)[torch.from_numpy(rows)]
    others = own[_others(len(own), generator)]
    written = sum(contexts // count for count in averaged) + contexts
    tokens = len(format.query) * contexts * written + format.n_tokens(episodes.shots) * contexts
    parts = []
    for some in progress(list(chunks(_take(episodes, rows[:, 0]), tokens)), "writing vectors"):
        here, asked = _take(episodes, rows[some]), _take(queries, rows[some])
        single, foreign = own[some].to(episodes.x.device), others[some].to(episodes.x.device)
        parts.append(
            _prompted(model, task, format, asked, single, foreign, averaged, position_ids)
            | _swapped(model, task, format, here, single, position_ids)
            | {
                "icl": _longest(icl_errors(model, task, format, here), contexts),
                "oracle": _longest(oracle_errors(task, here), contexts),
            }
        )
    data = xr.Dataset(
        {
            name: (dims, torch.cat([part[name] for part in parts]).float().cpu().numpy())
            for name, dims in _DIMENSIONS.items()
        },
        coords={"averaged": averaged, "layer": vectors.data.layer.values},
        attrs=vectors.data.attrs
        | {
            "layer": layer,
            "contexts": contexts,
            "examples": episodes.shots - 1,
            "position_ids": (position_ids or format.position_ids).value,
        },
    )
    data["within"] = (("function", "layer"), own.var(1).sum(-1).numpy())
    data["centre"] = (("function", "layer", "component"), own.mean(1).numpy())
    return Disentanglement(data.merge(leakage(vectors, generator)))


def _check(episodes: Episodes, queries: Episodes, vectors: TaskVectors, layer: int) -> None:
    vectors.check_contexts(functions=FOLDS, contexts=2)
    params = vectors.data.params.values
    for what, each in (("episodes", episodes), ("queries", queries)):
        theirs = each.params.cpu().numpy()
        if theirs.shape != params.shape or not (theirs == params).all():
            raise InputError(
                f"The vectors are of {len(params)} contexts, and these {len(theirs)} {what} are of "
                "other functions; take read_task_vectors(model, task, format, episodes) of the "
                "same episodes, and fresh_queries of them."
            )
    lengths = vectors.data.examples.values
    if len(lengths) < 2 or lengths[-1] != episodes.shots - 1:
        raise InputError(
            f"Expected vectors of at least two context lengths up to {episodes.shots - 1}, the "
            f"longest of the episodes, got those of {lengths.tolist()}."
        )
    vectors.check_layer(layer)


def _contexts(functions: Int[np.ndarray, " episode"]) -> Rows:
    """The episodes of each function, of all as many as there are of the rarest."""
    rows = [np.flatnonzero(functions == each) for each in np.unique(functions)]
    contexts = min(map(len, rows))
    return np.stack([each[:contexts] for each in rows])


def _others(functions: int, generator: Generator) -> Int[Tensor, " function"]:
    """For each function another one. Functions are numbered by their params, so that the next one
    would be a similar one.
    """
    order = torch.randperm(functions, generator=generator, device=generator.device).cpu()
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others


def _take(episodes: Episodes, rows: Int[np.ndarray, "*some"]) -> Episodes:
    """Some episodes, in any order."""
    return episodes[torch.from_numpy(rows.ravel()).to(episodes.x.device)]


def _prompted(
    model: HookedRootModule,
    task: Task,
    format: Format,
    queries: Episodes,
    single: Vectors,
    foreign: Vectors,
    averaged: list[int],
    position_ids: PositionIds | None,
) -> dict[str, Tensor]:
    """Errors of the last queries of each function, each asked with all vectors of the function."""
    contexts = single.shape[1]
    groups = [_means(single, count) for count in averaged] + [foreign]
    vectors = torch.cat(groups, dim=1)
    rows = np.arange(queries.batch).reshape(-1, 1, contexts).repeat(vectors.shape[1], axis=1)
    asked = _take(queries, rows)
    stream = _zero_shot(model, format, asked, position_ids)
    repeated = vectors.repeat_interleave(contexts, dim=1).flatten(0, 1)
    answers = _answers(stream, format, repeated)
    targets = asked.target[:, -1, None].expand_as(answers)
    shape = {"vector": vectors.shape[1], "query": contexts}
    by_vector = "(function vector query) layer ... -> function vector query layer ..."
    errors = rearrange(task.error(answers, targets), by_vector, **shape)
    *means, other = errors.mean(2).split([group.shape[1] for group in groups], dim=1)
    first = rearrange(answers, by_vector, **shape)[:, :contexts]
    untouched = task.error(stream.answer(), asked.target[:, -1])
    return {
        "tvp": torch.stack([each.mean(1) for each in means], dim=-1),
        "other": other.mean(1),
        "disagreement": task.error(first, first.roll(1, dims=1)).mean((1, 2)),
        "zero_shot": untouched.unflatten(0, (len(single), -1)).mean(1),
    }


def _swapped(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    single: Vectors,
    position_ids: PositionIds | None,
) -> dict[str, Float[Tensor, "function layer"]]:
    """Errors of the queries that contexts end with, by their own vector and by another context's.

    Every vector is used once in each, and so is every query: nothing but the pairing differs.
    """
    if not format.carrier_sees_query:
        missing = single.new_full((len(single), single.shape[2]), torch.nan)
        return {"own": missing, "swapped": missing, "own_zero_shot": missing[:, 0]}
    stream = _zero_shot(model, format, episodes, position_ids)

    def errors(vectors: Vectors) -> Float[Tensor, "function layer"]:
        answers = _answers(stream, format, vectors.flatten(0, 1))
        error = task.error(answers, episodes.target[:, -1, None].expand_as(answers))
        return error.unflatten(0, vectors.shape[:2]).mean(1)

    untouched = task.error(stream.answer(), episodes.target[:, -1])
    return {
        "own": errors(single),
        "swapped": errors(single.roll(1, dims=1)),
        "own_zero_shot": untouched.unflatten(0, single.shape[:2]).mean(1),
    }


def _means(single: Vectors, count: int) -> Float[Tensor, "function group layer d_model"]:
    """Means over disjoint groups of so many contexts."""
    groups = single.shape[1] // count
    return single[:, : groups * count].unflatten(1, (groups, count)).mean(2)


def _zero_shot(
    model: HookedRootModule, format: Format, asked: Episodes, position_ids: PositionIds | None
) -> ResidualStream:
    """The zero-shot prompts of the last examples."""
    longest = torch.tensor([[asked.shots - 1]], device=asked.x.device)
    return residual_stream(model, format.zero_shot(asked, longest, position_ids))


def _answers(
    stream: ResidualStream, format: Format, vectors: Float[Tensor, "row layer d_model"]
) -> Float[Tensor, "row layer d_y"]:
    """What zero-shot prompts answer when vectors are written on the carrier, at each layer."""
    layers = range(vectors.shape[1])
    written = [{Site(layer, carrier_of(format)): vectors[:, layer, None]} for layer in layers]
    return torch.stack([stream.answer(each) for each in written], dim=1)


def _longest(errors: xr.DataArray, contexts: int) -> Float[Tensor, " function"]:
    """Errors at the longest context, averaged over the contexts of each function."""
    return torch.from_numpy(errors.values[:, -1].reshape(-1, contexts).mean(1))
