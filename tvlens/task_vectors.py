"""Task-vector prompting without hooks, for training and sweeps.

The definition is `tvlens.patching.task_vector_predictions`; tests hold both equal in value and
gradient. Here a model stops at the layer of the vector, the vector is put in place of the carrier's
residual, and the model starts again from that layer: the context runs once however many
vectors are read from it, and nothing below the layer runs twice.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from tvlens.models import HookedTransformer
from tvlens.patching import Site
from tvlens.prompts import Prompt, PromptFormat


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
    """Answers to zero-shot prompts into which task vectors are written at `layer`.

    Args:
        prompt: from `PromptFormat.zero_shot`, a row for each vector.
    """
    residual = model(prompt.inputs, prompt.position_ids, stop_at_layer=layer)
    written = rearrange(vectors, "batch length d -> (batch length) 1 d")
    outputs = continue_with(model, prompt, residual, Site(layer, format.carrier), written)[:, -1]
    return rearrange(outputs, "(batch length) d -> batch length d", length=vectors.shape[1])


def residual_stream(
    model: HookedTransformer, prompt: Prompt
) -> list[Float[Tensor, "batch position d_model"]]:
    """The residual stream at every layer, from one pass."""
    stream = [model(prompt.inputs, prompt.position_ids, stop_at_layer=0)]
    for layer in range(model.n_layers):
        step = {"start_at_layer": layer, "stop_at_layer": layer + 1}
        stream.append(model(stream[-1], prompt.position_ids, **step))
    return stream


def continue_with(
    model: HookedTransformer,
    prompt: Prompt,
    residual: Float[Tensor, "batch position d_model"],
    site: Site,
    value: Float[Tensor, "batch 1 d_model"],
) -> Float[Tensor, "batch position d_out"]:
    """The model's outputs from a site's layer on, with the residual at the site's token replaced.

    The same as `tvlens.patching.write`, without running the layers below again.

    Args:
        residual: the stream of `prompt` at the site's layer.
    """
    (position,) = site.positions(prompt)
    residual = torch.cat([residual[:, :position], value, residual[:, position + 1 :]], dim=1)
    return model(residual, prompt.position_ids, start_at_layer=site.layer)
