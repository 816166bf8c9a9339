"""Context and zero-shot prompts of a training step, packed into one sequence and run in one pass.

The zero-shot prompts stand in the same row as the context, and a mask keeps each of them blind to
all else, so a step with a TVP loss runs hardly more operators than one without. What it computes is
defined by `tvlens.interventions.task_vectors.task_vector_predictions`, and equal to it.

At the layer of the vectors the sequence changes. Below it, tokens before x run once for all
zero-shot prompts, in which they are the same, and a carrier that ends its prompt does not run,
since nothing sees it. Above it, each prompt has tokens of its own, and all answers stand at the
end, so that the last block runs for a slice.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.models import HookedTransformer
from tvlens.models.hooked_transformer import attention_mask
from tvlens.prompts import AlignedPrompt, Format, Role, carrier_of


class PackedOutputs(NamedTuple):
    """What a model answers in a packed pass."""

    context: Float[Tensor, "batch answer d_out"]
    """At the answers of the context."""
    prompted: Float[Tensor, "batch length d_out"]
    """At the answers of the zero-shot prompts, with task vectors written on their carriers."""


def packed_outputs(
    model: HookedTransformer,
    format: Format,
    context: AlignedPrompt,
    zero_shot: AlignedPrompt,
    lengths: Int[Tensor, "#batch length"],
    layer: int,
    *,
    stop_gradient: bool = False,
) -> PackedOutputs:
    """Answers in a context, and to zero-shot prompts that get its task vectors at `layer`.

    Args:
        format: of both; its contexts are beginnings of longer ones.
        context: from `format.context`.
        zero_shot: from `format.zero_shot`, for the same `lengths`.
        lengths: how many examples each vector has seen.
        stop_gradient: whether no gradient flows through the vectors.
    """
    model.check_length(context.length)
    batch, prompts = len(context.inputs), lengths.shape[1]
    packing = _packing(
        format,
        context.roles,
        zero_shot.roles * prompts,
        len(zero_shot.position_ids) == 1,
        context.inputs.device,
        model.W_E.dtype,
    )
    below, above = packing.below, packing.above

    asked = zero_shot.inputs.reshape(batch, -1, context.inputs.shape[-1])
    inputs = torch.cat([context.inputs, asked], dim=1)
    inputs, ids = inputs.index_select(1, below.tokens), _position_ids(context, zero_shot, prompts)
    ids_below, ids_above = (ids.index_select(1, each.tokens) for each in (below, above))
    residual = model(inputs, ids_below, stop_at_layer=layer, mask=below.mask)
    vectors = _carrier_vectors(format, context, residual, lengths)
    if stop_gradient:
        vectors = vectors.detach()
    residual = torch.cat([residual, vectors], dim=1).index_select(1, packing.sources)
    outputs = model(
        residual, ids_above, start_at_layer=layer, only=packing.answers, mask=above.mask
    )
    return PackedOutputs(outputs[:, :-prompts], outputs[:, -prompts:])


def _position_ids(
    context: AlignedPrompt, zero_shot: AlignedPrompt, prompts: int
) -> Int[Tensor, "#batch token"]:
    """The position ids of all tokens of a row; one row of them if all rows are equal."""
    ids = zero_shot.position_ids
    ids = ids.repeat(1, prompts) if len(ids) == 1 else ids.unflatten(0, (-1, prompts)).flatten(1)
    return torch.cat([context.position_ids.expand(len(ids), -1), ids], dim=1)


@dataclass(frozen=True)
class _Sequence:
    """The order in which tokens stand in a row, and whom they see.

    Tokens are numbered through the context, then through the zero-shot prompts.
    """

    tokens: Int[Tensor, " position"]
    """The token at each position."""
    mask: Float[Tensor, "position position"]
    """Each token sees those of its own prompt up to itself."""


@dataclass(frozen=True)
class _Packing:
    """The sequences below and above the layer of the vectors."""

    below: _Sequence
    """The context, then what has to run of the zero-shot prompts."""
    above: _Sequence
    """All tokens, answers last."""
    sources: Int[Tensor, " position"]
    """What each position above the layer begins with: the position of a token below it, or behind
    them that of a vector."""
    answers: slice
    """The answers of the context above the layer, then those of the zero-shot prompts."""


@torch.compiler.assume_constant_result
def _packing(
    format: Format,
    context: tuple[Role, ...],
    zero_shot: tuple[Role, ...],
    equal_ids: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> _Packing:
    """The packing of a row, made once; a constant of a compiled step."""
    return make_packing(format, context, zero_shot, equal_ids, device, dtype)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # Later steps train with the same mask.
def make_packing(
    format: Format,
    context: tuple[Role, ...],
    zero_shot: tuple[Role, ...],
    equal_ids: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> _Packing:
    """The packing of a row.

    Args:
        format: of all prompts.
        context: the roles of the context's tokens.
        zero_shot: the roles of the tokens of all zero-shot prompts.
        equal_ids: whether all zero-shot prompts have the same position ids.
        device: where the mask is needed.
        dtype: of the attention scores.
    """
    roles, start, width = context + zero_shot, len(context), len(format.query)
    tokens, starts = range(len(roles)), range(start, len(roles), width)
    prompts = [range(start), *(range(each, each + width) for each in starts)]
    written = [token for token in tokens[start:] if roles[token] is format.carrier]

    # The token that runs below the layer for each: of tokens that are shared, the first.
    runs = list(tokens)
    shared = format.query.index(Role.X) if equal_ids else 0
    for each in starts:
        runs[each : each + shared] = tokens[start : start + shared]
    unseen = written if format.query[-1] is format.carrier else []
    below = sorted(set(runs) - set(unseen))
    above = sorted(tokens, key=lambda token: roles[token] is format.answer)
    # What a token above the layer begins with.
    begins = {token: below.index(runs[token]) for token in tokens if token not in written}
    begins |= {token: len(below) + vector for vector, token in enumerate(written)}

    def sequence(order: list[int], runs: Sequence[int]) -> _Sequence:
        seen = {
            token: {runs[each] for each in prompt if each <= token}
            for prompt in prompts
            for token in prompt
        }
        visible = torch.tensor([[other in seen[token] for other in order] for token in order])
        mask = attention_mask(visible.to(device, non_blocking=True), dtype)
        return _Sequence(_sent(order, device), mask)

    return _Packing(
        sequence(below, runs),
        sequence(above, tokens),
        _sent([begins[token] for token in above], device),
        slice(-roles.count(format.answer), None),
    )


def _sent(numbers: list[int], device: torch.device) -> Int[Tensor, " number"]:
    """Numbers on a device that the host does not wait for."""
    return torch.tensor(numbers).to(device, non_blocking=True)


def _carrier_vectors(
    format: Format,
    context: AlignedPrompt,
    residual: Float[Tensor, "batch position d_model"],
    lengths: Int[Tensor, "#batch length"],
) -> Float[Tensor, "batch length d_model"]:
    """The task vectors of some context lengths, from a residual stream that begins with the
    context.
    """
    carriers = context.places(carrier_of(format)).read(residual)
    first = format.first_length(carrier_of(format))
    return carriers.take_along_dim((lengths - first)[..., None], dim=1)
