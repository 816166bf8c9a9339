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
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from tvlens.interventions.task_vectors import carrier_vectors
from tvlens.models import HookedTransformer
from tvlens.models.hooked_transformer import attention_mask
from tvlens.prompts import AlignedPrompt, Role, TokenFormat


class PackedOutputs(NamedTuple):
    """What a model answers in a packed pass."""

    context: Float[Tensor, "batch answer d_out"]
    """At the answers of the context."""
    prompted: Float[Tensor, "batch length d_out"]
    """At the answers of the zero-shot prompts, with task vectors written on their carriers."""


def packed_outputs(
    model: HookedTransformer,
    format: TokenFormat,
    context: AlignedPrompt,
    zero_shot: AlignedPrompt,
    lengths: Int[Tensor, "#batch length"],
    layer: int,
    *,
    stop_gradient: bool = False,
) -> PackedOutputs:
    """Answers in a context, and to zero-shot prompts that get its task vectors at `layer`.

    Args:
        context: from `TokenFormat.context`.
        zero_shot: from `TokenFormat.zero_shot`, for the same `lengths`.
        lengths: how many examples each vector has seen.
        stop_gradient: whether no gradient flows through the vectors.
    """
    model.check_length(context.length)
    batch, prompts = len(context.inputs), lengths.shape[1]
    equal_ids = len(zero_shot.position_ids) == 1
    device, dtype = context.inputs.device, model.W_E.dtype
    packing = _packing(format, context.roles, prompts, equal_ids, device=device, dtype=dtype)
    below, above = packing.below, packing.above

    inputs = torch.cat([context.inputs, zero_shot.inputs.reshape(batch, -1, model.d_in)], dim=1)
    ids = _position_ids(context, zero_shot, prompts)
    residual = model(below.take(inputs), below.take(ids), stop_at_layer=layer, mask=below.mask)
    vectors = carrier_vectors(format, context, residual, lengths)
    if stop_gradient:
        vectors = vectors.detach()
    residual = torch.cat([residual, vectors], dim=1).index_select(1, packing.sources)
    outputs = model(
        residual, above.take(ids), start_at_layer=layer, only=packing.answers, mask=above.mask
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

    def take(self, values: Shaped[Tensor, "row token *d"]) -> Shaped[Tensor, "row position *d"]:
        """Values of the tokens, in their order."""
        return values.index_select(1, self.tokens)


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


@functools.lru_cache(maxsize=64)
def _packing(
    format: TokenFormat,
    context: tuple[Role, ...],
    prompts: int,
    equal_ids: bool,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> _Packing:
    """The packing of a context with some roles and a number of zero-shot prompts.

    Args:
        equal_ids: whether all zero-shot prompts have the same position ids.
    """
    query, start = format.query, len(context)
    roles = context + query * prompts
    owners = [0] * start + [1 + prompt for prompt in range(prompts) for _ in query]
    written = [token for token in range(start, len(roles)) if roles[token] is format.carrier]

    # Which token runs below the layer for each: of those that are shared, that of the first prompt.
    shared = query.index(Role.X) if equal_ids else 0
    runs = list(range(len(roles)))
    for first in range(start, len(roles), len(query)):
        runs[first : first + shared] = runs[start : start + shared]
    unseen = written if query[-1] is format.carrier else []
    below = sorted(set(runs) - set(unseen))
    above = sorted(range(len(roles)), key=lambda token: roles[token] is format.answer)
    vectors = {token: len(below) + vector for vector, token in enumerate(written)}
    sources = [vectors[token] if token in vectors else below.index(runs[token]) for token in above]

    def sequence(tokens: list[int], runs: list[int]) -> _Sequence:
        seen = [
            {runs[each] for each in range(token + 1) if owners[each] == owners[token]}
            for token in tokens
        ]
        visible = torch.tensor([[token in each for token in tokens] for each in seen])
        mask = attention_mask(visible.to(device), dtype)
        return _Sequence(torch.tensor(tokens, device=device), mask)

    return _Packing(
        sequence(below, runs),
        sequence(above, list(range(len(roles)))),
        torch.tensor(sources, device=device),
        slice(-roles.count(format.answer), None),
    )
