"""Task-vector prompting: as it is defined, and without hooks, for training.

The definition is `task_vector_predictions`, for any model; tests hold the fast path equal to it in
value and gradient. What makes that fast is exact, and follows from causality:

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
from transformer_lens import HookedRootModule

from tvlens.interventions.patching import Site, read, write
from tvlens.models import HookedTransformer
from tvlens.models.protocol import is_causal
from tvlens.prompts import Episodes, Format, PositionIds, Prompt, Role, carrier_of


def task_vector_predictions(
    model: HookedRootModule,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    site: Site,
    position_ids: PositionIds | None = None,
) -> Float[Tensor, "batch length d_y"]:
    """Task-vector prompting (Yang et al., arXiv 2501.09240): what one vector lets a model predict.

    Each vector is read at `site` in the context and written at the same layer into a zero-shot
    prompt for a query: at the token of the same role, or at the carrier for a role (y) that a
    zero-shot prompt does not have.

    Args:
        queries: example n is asked with the vector of n examples. Where the site has seen x, these
            must be other examples than the episodes' own.
        position_ids: those of the zero-shot prompts; the format's own if None.

    Returns:
        Predictions for the context lengths from `format.first_length(site.role)` to shots - 1.
    """
    vectors = _context_vectors(model, format, episodes, site)
    first = format.first_length(site.role)
    lengths = torch.arange(first, episodes.shots, device=vectors.device)[None]
    prompt = format.zero_shot(queries, lengths, position_ids)
    place = Site(site.layer, format.written_role(site.role))
    values = rearrange(vectors, "batch length d -> (batch length) 1 d")
    outputs = write(model, prompt, place, values)[:, prompt.answers.only]
    predictions = prompt.answers.predictions(outputs)[:, -1]
    return rearrange(predictions, "(batch length) d -> batch length d", length=lengths.shape[1])


def _context_vectors(
    model: HookedRootModule, format: Format, episodes: Episodes, site: Site
) -> Float[Tensor, "batch length d_model"]:
    """The vectors of all context lengths: from one pass, or where a model is not causal or a
    context no beginning of a longer one, from a pass for each.
    """
    if format.prefixes and is_causal(model):
        return read(model, format.context(episodes), site)
    last = Site(site.layer, site.role, -1)
    shots = range(format.first_length(site.role) + 1, episodes.shots + 1)
    contexts = [format.context(episodes.some_shots(slice(each))) for each in shots]
    return torch.cat([read(model, context, last) for context in contexts], dim=1)


def carrier_vectors(
    format: Format,
    prompt: Prompt,
    residual: Float[Tensor, "batch position d_model"],
    lengths: Int[Tensor, "#batch length"],
) -> Float[Tensor, "batch length d_model"]:
    """The task vectors of some context lengths, taken from the residual stream of a context."""
    carrier = carrier_of(format)
    carriers = prompt.places(carrier).read(residual)
    first = format.first_length(carrier)
    return carriers.take_along_dim((lengths - first)[..., None], dim=1)


def prompted_outputs(
    model: HookedTransformer,
    format: Format,
    prompt: Prompt,
    vectors: Float[Tensor, "batch length d_model"],
    layer: int,
) -> Float[Tensor, "batch length d_out"]:
    """Answers to zero-shot prompts into which task vectors are written on the carrier at `layer`.

    Args:
        prompt: from `format.zero_shot`, a row for each vector.
    """
    carrier = format.query.index(carrier_of(format))
    residual = _unwritten(model, format, prompt, layer)
    written = rearrange(vectors, "batch length d -> (batch length) 1 d")
    residual = torch.cat([residual[:, :carrier], written, residual[:, carrier + 1 :]], dim=1)
    outputs = model(residual, prompt.position_ids, start_at_layer=layer, only=slice(-1, None))
    return rearrange(outputs, "(batch length) 1 d -> batch length d", length=vectors.shape[1])


def _unwritten(
    model: HookedTransformer, format: Format, prompt: Prompt, layer: int
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
