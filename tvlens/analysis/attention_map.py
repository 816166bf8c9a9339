"""Which tokens does each head look at?"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_LAYOUT, ONE_MODEL, PATTERNS, asks, examples
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.hooks import check_hook_points, hooked_pass
from tvlens.interventions.patching import Site, count_layers, residual_name, written
from tvlens.prompts import AlignedPrompt, Episodes, Format, PositionIds, aligned, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import AttentionMap
from tvlens.subjects import Subject
from tvlens.tasks import Task

DISTANCES = ("own", "previous", "earlier")

_DIMENSIONS = {
    "context": ("episode", "block", "head", "query", "key", "distance"),
    "prompted": ("episode", "block", "head", "asking", "asked"),
    "zero_shot": ("episode", "block", "head", "asking", "asked"),
}


@asks(ONE_MODEL, CARRIER, PATTERNS, ONE_LAYOUT, examples(2))
def attention_map(subject: Subject, *, position_ids: PositionIds | None = None) -> AttentionMap:
    """Attention from role to role, head by head, in contexts and in zero-shot prompts with and
    without the vector.

    Args:
        subject: the model whose heads are looked at.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    return measure_attention_map(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        position_ids=position_ids,
    )


@torch.inference_mode()
def measure_attention_map(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    position_ids: PositionIds | None = None,
) -> AttentionMap:
    """The same, of plain data.

    Args:
        model: what is looked into.
        task: names the result.
        format: how examples become tokens.
        episodes: the contexts, of at least two complete examples and one that is asked.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: the model has no hook points of attention patterns, or no such layer, or the
            contexts are too short.
    """
    if episodes.shots < 3:
        raise InputError(f"Attention maps need episodes of at least 3 shots, got {episodes.shots}.")
    names = [f"blocks.{block}.attn.hook_pattern" for block in range(count_layers(model))]
    check_hook_points(model, names)
    vector_name, place = residual_name(model, layer), Site(layer, carrier_of(format))
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "reading attention"):
        context = aligned(format.context(episodes[some]))
        seen = hooked_pass(model, context, read=[*names, vector_name]).activations
        vectors = Site(layer, carrier_of(format), -1).places(context).read(seen[vector_name])
        longest = torch.tensor([[episodes.shots - 1]], device=vectors.device)
        asked = aligned(format.zero_shot(queries[some], longest, position_ids))
        edits = written(model, asked, {place: vectors})
        prompted = hooked_pass(model, asked, read=names, edits=edits).activations
        zero_shot = hooked_pass(model, asked, read=names).activations
        patterns = {
            "context": _between_roles(seen, names, context, first=1),
            "prompted": _between_roles(prompted, names, asked, first=0)[..., 0],
            "zero_shot": _between_roles(zero_shot, names, asked, first=0)[..., 0],
        }
        parts.append({name: pattern.cpu() for name, pattern in patterns.items()})
    data = {name: torch.cat([part[name] for part in parts]).float() for name in _DIMENSIONS}
    return AttentionMap(
        xr.Dataset(
            {name: (dims, data[name].numpy()) for name, dims in _DIMENSIONS.items()},
            coords={
                "block": range(len(names)),
                "head": range(data["context"].shape[2]),
                "query": [role.value for role in format.roles],
                "key": [role.value for role in format.roles],
                "distance": list(DISTANCES),
                "asking": [role.value for role in format.query],
                "asked": [role.value for role in format.query],
            },
            attrs={
                "layer": layer,
                "carrier": carrier_of(format).value,
                "answer": format.answer.value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _between_roles(
    activations: dict[str, Tensor], names: list[str], prompt: AlignedPrompt, first: int
) -> Float[Tensor, "episode block head role role distance"]:
    """Attention between roles: the mean over the tokens that look, the sum over those looked at.

    Args:
        names: of the patterns.
        first: occurrence of a role that the mean begins with.
    """
    patterns = torch.stack([activations[name] for name in names], dim=1)
    roles = list(dict.fromkeys(prompt.roles))
    role = torch.tensor([roles.index(each) for each in prompt.roles], device=patterns.device)
    occurrence = torch.tensor(prompt.occurrences, device=patterns.device)
    is_role = F.one_hot(role).to(patterns)
    looks = is_role * (occurrence >= first)[:, None]
    distance = (occurrence[:, None] - occurrence).clamp(0, len(DISTANCES) - 1)
    is_at = F.one_hot(distance, len(DISTANCES)).to(patterns)
    seen = torch.einsum("kr,qkd->qkrd", is_role, is_at)
    cells = torch.einsum("qa,qkrd->qkard", looks / looks.sum(0), seen)
    return torch.einsum("eblqk,qkard->eblard", patterns, cells)
