"""Which tokens does each head look at?"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.chunks import chunks
from tvlens.hooks import check_hook_points, hooked_pass
from tvlens.patching import Site, count_layers, residual_name, written
from tvlens.progress import progress
from tvlens.prompts import Episodes, PositionIds, Prompt, PromptFormat
from tvlens.results import AttentionMap
from tvlens.tasks import Task

DISTANCES = ("own", "previous", "earlier")

_DIMENSIONS = {
    "context": ("episode", "block", "head", "query", "key", "distance"),
    "last": ("episode", "block", "head", "query", "key", "distance"),
    "prompted": ("episode", "block", "head", "asking", "asked"),
    "unprompted": ("episode", "block", "head", "asking", "asked"),
}


@torch.inference_mode()
def attention_map(
    model: HookedRootModule,
    task: Task,
    format: PromptFormat,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    position_ids: PositionIds = PositionIds.RESET,
) -> AttentionMap:
    """Attention from role to role, head by head, in contexts and in zero-shot prompts with and
    without the vector.

    Args:
        task: names the result.
        episodes: the contexts, at least two examples each.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: the model has no hook points of attention patterns, or no such layer.
    """
    names = [f"blocks.{block}.attn.hook_pattern" for block in range(count_layers(model))]
    check_hook_points(model, names)
    vector_name, place = residual_name(model, layer), Site(layer, format.carrier)
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "reading attention"):
        context = format.context(episodes[some])
        seen = hooked_pass(model, context, read=[*names, vector_name]).activations
        vectors = seen[vector_name][:, Site(layer, format.carrier, -1).positions(context)]
        longest = torch.tensor([[episodes.shots - 1]], device=vectors.device)
        asked = format.zero_shot(queries[some], longest, position_ids)
        edits = written(model, asked, {place: vectors})
        prompted = hooked_pass(model, asked, read=names, edits=edits).activations
        unprompted = hooked_pass(model, asked, read=names).activations

        parts.append(
            {
                "context": 
            }
        )
