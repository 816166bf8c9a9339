"""Context and zero-shot prompts of a training step, packed into one sequence and run in one pass.

The zero-shot prompts stand in the same row as the context, and a mask keeps each of them blind to
all else. So a step with a TVP loss runs about as many operators as one without, on sequences that
are a little longer. What it computes is defined by
`tvlens.interventions.task_vectors.task_vector_predictions`, and equal to it.

Position ids and mask say where a token stands in its prompt, so the order in the sequence is free.
Answers come last, so that the last block runs for a slice. The carriers of the context stand side
by side, and so do those of the zero-shot prompts, so that vectors are written to a slice.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

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
    packing = _packing(
        format, context.roles, prompts, device=context.inputs.device, dtype=model.W_E.dtype
    )
    inputs = torch.cat([context.inputs, zero_shot.inputs.reshape(batch, -1, model.d_in)], dim=1)
    inputs, ids = packing.packed(inputs), packing.packed(_position_ids(context, zero_shot, prompts))
    residual = model(inputs, ids, stop_at_layer=layer, mask=packing.mask)
    carriers = lengths + (packing.read - format.first_length(format.carrier))
    vectors = residual.take_along_dim(carriers[..., None], dim=1)
    if stop_gradient:
        vectors = vectors.detach()
    residual = residual.slice_scatter(vectors, 1, packing.written, packing.written + prompts)
    outputs = model(residual, ids, start_at_layer=layer, only=packing.answers, mask=packing.mask)
    return PackedOutputs(outputs[:, :-prompts], outputs[:, -prompts:])


def _position_ids(
    context: AlignedPrompt, zero_shot: AlignedPrompt, prompts: int
) -> Int[Tensor, "#batch token"]:
    """The position ids of all tokens of a row; one row of them if all rows are equal."""
    ids = zero_shot.position_ids
    ids = ids.repeat(1, prompts) if len(ids) == 1 else ids.unflatten(0, (-1, prompts)).flatten(1)
    return torch.cat([context.position_ids.expand(len(ids), -1), ids], dim=1)


@dataclass(frozen=True)
class _Packing:
    """Where the tokens of a row stand, and whom they see."""

    order: Int[Tensor, " position"]
    """The token at each position, counted through the context, then through the zero-shot
    prompts."""
    mask: Float[Tensor, "position position"]
    """Each token sees those of its own prompt up to itself."""
    read: int
    """Where the carriers of the context begin."""
    written: int
    """Where the carriers of the zero-shot prompts begin."""
    answers: slice
    """The answers of the context, then those of the zero-shot prompts."""

    def packed(self, values: Shaped[Tensor, "row token *d"]) -> Shaped[Tensor, "row position *d"]:
        """Values of the tokens, in the order of the sequence."""
        return values.index_select(1, self.order)


@functools.lru_cache(maxsize=64)
def _packing(
    format: TokenFormat,
    context: tuple[Role, ...],
    prompts: int,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> _Packing:
    """The packing of a context with some roles and a number of zero-shot prompts."""
    roles = context + format.query * prompts
    owners = [0] * len(context) + [1 + n for n in range(prompts) for _ in format.query]
    kinds = [
        (role is format.answer, owner > 0, role is format.carrier)
        for role, owner in zip(roles, owners, strict=True)
    ]
    order = sorted(range(len(roles)), key=kinds.__getitem__)
    sequence = [kinds[token] for token in order]
    carrier = format.carrier is format.answer
    token = torch.tensor(order, device=device)
    owner = torch.tensor(owners, device=device)[token]
    visible = (owner[:, None] == owner) & (token[:, None] >= token)
    return _Packing(
        token,
        attention_mask(visible, dtype),
        read=sequence.index((carrier, False, True)),
        written=sequence.index((carrier, True, True)),
        answers=slice(-sum(answers for answers, *_ in kinds), None),
    )
