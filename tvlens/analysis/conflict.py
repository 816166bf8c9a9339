"""Which task does a model follow when its context shows one and its vector another?"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, WHOLE_ANSWERS, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, check_layer, count_layers
from tvlens.interventions.residual_stream import ResidualStream, last_vectors, residual_stream
from tvlens.interventions.stamps import stamp
from tvlens.prompts import Episodes, Format, PositionIds, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Conflict
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_same_functions

SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""Of the second vector in a blend of two."""
WRITTEN = ("nothing", "own", "random", "rival", "rival everywhere")
"""What replaces the carrier's residual in a full context."""
SUMS = ("plain", "centred")
"""How two vectors are added."""

Vectors = Float[Tensor, "pair layer d_model"]

_DIMENSIONS = {
    "to_context": ("pair", "layer", "written"),
    "to_vector": ("pair", "layer", "written"),
    "apart": ("pair",),
    "to_first": ("pair", "layer", "share"),
    "to_second": ("pair", "layer", "share"),
    "to_blend": ("pair", "layer", "share"),
    "blend_apart": ("pair",),
    "to_sum": ("pair", "layer", "sum"),
    "to_sum_zero_shot": ("pair", "sum"),
}


@asks(ONE_MODEL, CARRIER, LAYER, WHOLE_ANSWERS)
def conflict(subject: Subject, *, position_ids: PositionIds | None = None) -> Conflict:
    """The conflicting-task test (Hendel et al., arXiv 2310.15916), and blends and sums of vectors.

    The rival of a function is that of the episode before. What the arrays mean is in `Conflict`.

    Args:
        subject: the model that is asked.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    both, queries = subject.contexts(subject.test.episodes, 2)
    return measure_conflict(
        subject.model,
        subject.task,
        subject.format,
        both[::2],
        both[1::2],
        queries[::2],
        layer=subject.layer,
        generator=subject.generator(),
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_conflict(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    again: Episodes,
    queries: Episodes,
    *,
    layer: int,
    generator: Generator,
    position_ids: PositionIds | None = None,
) -> Conflict:
    """The same, of plain data.

    Pairs that have drawn the same function are left out.

    Args:
        model: what is asked.
        task: gives errors; says what the rival's function answers.
        format: how examples become tokens.
        episodes: the contexts.
        again: other contexts of the same functions, one for one: with
            `both = sample_contexts(task, n, 2, ..)` take `both[::2]` and `both[1::2]`. Vectors that
            are written into a full context are read here.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        layer: the one that scores report.
        generator: draws the random control: one direction for each pair.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: the functions do not agree, fewer than two pairs are left, or the model has no
            such layer.
    """
    rivals = again[torch.arange(again.batch, device=again.x.device).roll(1)]
    kept = _check(model, episodes, again, queries, rivals, layer)
    centre = _mean_vectors(model, format, again)
    directions = torch.randn(
        (episodes.batch, 1, centre.shape[-1]), generator=generator, device=episodes.x.device
    )
    parts = []
    tokens = 3 * format.n_tokens(episodes.shots) + len(format.query)
    for rows in progress(list(chunks(episodes, tokens)), "setting tasks against each other"):
        some, rival, asked = episodes[rows], rivals[rows], queries[rows]
        context, theirs = (residual_stream(model, format.context(each)) for each in (some, rival))
        own = last_vectors(residual_stream(model, format.context(again[rows])), carrier_of(format))
        parts.append(
            _conflicting(task, format, some, rival, context, theirs, own, directions[rows])
            | _combined(model, task, format, asked, rival, context, theirs, centre, position_ids)
        )
    data = xr.Dataset(
        {
            name: (dims, torch.cat([part[name] for part in parts])[kept].float().cpu().numpy())
            for name, dims in _DIMENSIONS.items()
        },
        coords={
            "layer": range(count_layers(model) + 1),
            "written": list(WRITTEN),
            "share": list(SHARES),
            "sum": list(SUMS),
        },
        attrs=stamp(
            task,
            format,
            layer=layer,
            examples=episodes.shots - 1,
            position_ids=position_ids or format.position_ids,
        ),
    )
    return Conflict(data)


def _check(
    model: HookedRootModule,
    episodes: Episodes,
    again: Episodes,
    queries: Episodes,
    rivals: Episodes,
    layer: int,
) -> Tensor:
    """Which pairs are of two functions."""
    check_layer(model, layer)
    check_same_functions(episodes, again, "other contexts", shots=True)
    check_same_functions(episodes, queries, shots=True)
    kept = (episodes.params != rivals.params).any(-1)
    if kept.sum() < 2:
        raise InputError(
            f"Expected at least 2 pairs of different functions, got {int(kept.sum())} of "
            f"{episodes.batch} episodes; draw more."
        )
    return kept


def _conflicting(
    task: Task,
    format: Format,
    episodes: Episodes,
    rivals: Episodes,
    context: ResidualStream,
    theirs: ResidualStream,
    own: Vectors,
    directions: Float[Tensor, "pair 1 d_model"],
) -> dict[str, Tensor]:
    """Errors of full contexts in which the carrier is overwritten, against both functions."""
    targets = {
        "to_context": episodes.target[:, -1:],
        "to_vector": task.apply(rivals.params, episodes.x[:, -1:]),
    }
    unit = F.normalize(directions, dim=-1)
    untouched = context.answer()
    answers = []
    for layer in range(context.n_layers + 1):
        last, every = Site(layer, carrier_of(format), -1), Site(layer, carrier_of(format))
        rival = theirs.read(last)
        values = [
            {last: own[:, layer, None]},
            {last: unit.to(rival) * rival.norm(dim=-1, keepdim=True)},
            {last: rival},
            {every: theirs.read(every)},
        ]
        answers.append(torch.stack([untouched, *map(context.answer, values)], dim=1))
    stacked = torch.stack(answers, dim=1)  # pair layer written d_y
    errors = {name: _errors(task, stacked, target) for name, target in targets.items()}
    apart = _errors(task, targets["to_context"], targets["to_vector"])
    return errors | {"apart": apart[:, 0]}


def _combined(
    model: HookedRootModule,
    task: Task,
    format: Format,
    queries: Episodes,
    rivals: Episodes,
    context: ResidualStream,
    theirs: ResidualStream,
    centre: Float[Tensor, "layer d_model"],
    position_ids: PositionIds | None,
) -> dict[str, Tensor]:
    """Errors of zero-shot prompts in which blends and sums of two vectors are written."""
    longest = torch.tensor([[queries.shots - 1]], device=queries.x.device)
    stream = residual_stream(model, format.zero_shot(queries, longest, position_ids))
    first, second = (
        last_vectors(context, carrier_of(format)),
        last_vectors(theirs, carrier_of(format)),
    )

    def answers(vectors: Vectors) -> Float[Tensor, "pair layer d_y"]:
        layers = range(vectors.shape[1])
        sites = [{Site(layer, carrier_of(format)): vectors[:, layer, None]} for layer in layers]
        return torch.stack(list(map(stream.answer, sites)), dim=1)

    query = queries.x[:, -1:]
    one, other = queries.target[:, -1:], task.apply(rivals.params, query)
    ignorant = task.oracle(query[:, :0], one[:, :0], query)
    blends = torch.stack([answers(torch.lerp(first, second, t)) for t in SHARES], dim=2)
    sums = torch.stack([answers(first + second), answers(first + second - centre)], dim=2)
    shares = one.new_tensor(SHARES)[:, None]
    targets = {
        "blend": (1 - shares) * one + shares * other,
        "sum": torch.cat([one + other, one + other - ignorant], dim=1),
    }
    errors = {
        "to_first": _errors(task, blends, one),
        "to_second": _errors(task, blends, other),
        "blend_apart": _errors(task, one, other)[:, 0],
        "to_blend": _errors(task, blends, targets["blend"]),
        "to_sum": _errors(task, sums, targets["sum"]),
        "to_sum_zero_shot": _errors(
            task, stream.answer()[:, None].expand(-1, 2, -1), targets["sum"]
        ),
    }
    if (task.loss(one, one) != 0).any():  # Predictions are not outputs: those are symbols.
        for name in ("to_blend", "to_sum", "to_sum_zero_shot"):
            errors[name] = torch.full_like(errors[name], torch.nan)
    return errors


def _errors(
    task: Task,
    answers: Float[Tensor, "pair *some last d_y"],
    targets: Float[Tensor, "pair one_or_last d_y"],
) -> Float[Tensor, "pair *some last"]:
    """Errors of answers against one target of each pair, or one for each of the last axis."""
    between = (1,) * (answers.ndim - targets.ndim)
    shaped = targets.reshape(len(targets), *between, *targets.shape[1:])
    return task.error(answers, shaped.expand_as(answers).to(answers))


def _mean_vectors(
    model: HookedRootModule, format: Format, episodes: Episodes
) -> Float[Tensor, "layer d_model"]:
    """The mean of the longest contexts' vectors."""
    parts = []
    for rows in chunks(episodes, format.n_tokens(episodes.shots)):
        stream = residual_stream(model, format.context(episodes[rows]))
        parts.append(last_vectors(stream, carrier_of(format)).sum(0))
    return torch.stack(parts).sum(0) / episodes.batch
