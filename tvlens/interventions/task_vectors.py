"""Task-vector prompting as it is defined, for any model.

Training packs context and zero-shot prompts into one pass instead; tests hold both equal in value
and gradient.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.interventions.patching import Site, read, write
from tvlens.models.protocol import is_causal
from tvlens.prompts import Episodes, Format, PositionIds


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
