"""Task-vector prompting without hooks, for training.

The definition is `tvlens.patching.task_vector_predictions`; tests hold both equal in value and
gradient. What makes this fast is exact, and follows from causality:

- A vector changes nothing below its layer, so the context runs once for the ICL and the TVP loss,
  however many vectors are read from it.
- The tokens before x are the same in all zero-shot prompts, so below the layer they run once.
- Nothing sees what a carrier that ends its prompt holds below the layer, so it does not run there.
- Of the last block only the answers are needed; other tokens give their keys and values.

The model's `only` says of which positions a result is wanted; the rest is built from it.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.models import HookedTransformer
from tvlens.prompts import Prompt, PromptFormat, Role


def carrier_vectors(
    format: PromptFormat,
    residual: Float[Tensor, "batch position d_model"],
    lengths: Int[Tensor, "#batch length"],
    shots: int,
) -> Float[Tensor, "batch length d_model"]:
    """The task vectors of some context lengths, taken from the residual stream of a context."""
    where, first = format.tokens(format.carrier, shots)
    return residual[:, where].take_along_dim((lengths - first)[..., None], dim=1)


def prompted_outputs(
    model: HookedTransformer,
    format: PromptFormat,
    prompt: Prompt,
    vectors: Float[Tensor, "batch length d_model"],
    layer: int,
) -> Float[Tensor, "batch length d_out"]:
    """Answers to zero-shot prompts into which task vectors are written on the carrier at `layer`.

    Args:
        prompt: from `PromptFormat.zero_shot`, a row for each vector.
    """
    carrier = format.query.index(format.carrier)
    residual = _unwritten(model, format, prompt, layer)
    written = rearrange(vectors, "batch length d -> (batch length) 1 d")
    residual = torch.cat([residual[:, :carrier], written, residual[:, carrier + 1 :]], dim=1)
    outputs = model(residual, prompt.position_ids, start_at_layer=layer, only=slice(-1, None))
    return rearrange(outputs, "(batch length) 1 d -> batch length d", length=vectors.shape[1])


def _unwritten(
    model: HookedTransformer, format: PromptFormat, prompt: Prompt, layer: int
) -> Float[Tensor, "batch position d_model"]:
    """The stream of zero-shot prompts at `layer`, without a carrier that ends them: no token sees
    what it holds below the layer that it is written at.
    """
    end = len(format.query) - (format.query[-1] is format.carrier)
    inputs, ids = prompt.inputs[:, :end], prompt.position_ids[:, :end]
    same = format.query.index(Role.X)  # Rows with equal position ids are equal up to here.
    before = model(inputs[: len(ids), :same], ids[:, :same], stop_at_layer=0)
    rest = model(inputs[:, same:], ids[:, same:], stop_at_layer=0)
    for below in range(layer):
        step = {"start_at_layer": below, "stop_at_layer": below + 1}
        residual = torch.cat([before.expand(len(rest), -1, -1), rest], dim=1)
        rest = model(residual, ids, **step, only=slice(same, None))
        before = model(before, ids[:, :same], **step)
    return torch.cat([before.expand(len(rest), -1, -1), rest], dim=1)
