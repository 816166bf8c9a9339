"""In which block are examples put together, and in which one is the vector made of them?"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import (
    CARRIER,
    ONE_LAYOUT,
    ONE_MODEL,
    PATTERNS,
    UNTRAINED,
    asks,
    examples,
)
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, count_layers
from tvlens.interventions.residual_stream import last_vectors, residual_stream
from tvlens.interventions.saliency import MEASURES, attention_saliency
from tvlens.prompts import AlignedPrompt, Episodes, Format, Role, aligned, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import InformationFlow
from tvlens.subjects import Subject
from tvlens.tasks import Task

_DIMENSIONS = {
    "y_to_own": ("weights", "measure", "episode", "block"),
    "y_to_all": ("weights", "measure", "episode", "block"),
    "carrier_to_y": ("weights", "measure", "episode", "block", "example"),
    "carrier_to_all": ("weights", "measure", "episode", "block"),
    "tvp": ("episode", "layer"),
    "zero_shot": ("episode",),
    "icl": ("episode",),
}


@asks(ONE_MODEL, CARRIER, UNTRAINED, PATTERNS, ONE_LAYOUT, examples(2))
def information_flow(subject: Subject) -> InformationFlow:
    """Saliency of the edges from each y to its own example, and from the last carrier to each y.

    Beside it, what the vector of each layer is worth; see `InformationFlow`.

    Args:
        subject: the model whose attention is traced.
    """
    return measure_information_flow(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        untrained=subject.untrained_model,
    )


def measure_information_flow(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    untrained: HookedRootModule,
) -> InformationFlow:
    """The same, of plain data.

    Args:
        model: whose attention is traced.
        task: gives losses and errors.
        format: how examples become tokens.
        episodes: the contexts, of at least two complete examples and one that is asked.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`).
        untrained: a model of the same kind before training, for the control.

    Raises:
        InputError: a model has no hook points of attention patterns, or the contexts are too short.
    """
    if episodes.shots < 3:
        raise InputError(
            f"The flow between examples needs episodes of at least 3 shots, got {episodes.shots}."
        )
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "tracing attention"):
        flows = [_flows(each, task, format, episodes[some]) for each in (model, untrained)]
        found = {name: torch.stack([flow[name] for flow in flows]) for name in flows[0]}
        found |= _errors(model, task, format, episodes[some], queries[some])
        parts.append({name: values.float().cpu() for name, values in found.items()})
    data = {
        name: torch.cat([part[name] for part in parts], dims.index("episode")).numpy()
        for name, dims in _DIMENSIONS.items()
    }
    blocks = count_layers(model)
    return InformationFlow(
        xr.Dataset(
            {name: (dims, data[name]) for name, dims in _DIMENSIONS.items()},
            coords={
                "weights": ["trained", "untrained"],
                "measure": list(MEASURES),
                "block": range(blocks),
                "layer": range(blocks + 1),
                "example": range(1, episodes.shots),
            },
            attrs={
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _flows(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> dict[str, Float[Tensor, "measure episode block ..."]]:
    """Saliency from each y, and from the last carrier."""
    saliency = attention_saliency(model, task, format, episodes)
    prompt = aligned(format.context(episodes))
    ys = list(prompt.places(Role.Y).positions())
    carrier = prompt.places(carrier_of(format)).positions()[-1]
    own = _own_example(prompt).to(saliency)
    return {
        "y_to_own": (saliency * own)[..., ys, :].sum((-2, -1)),
        "y_to_all": saliency[..., ys, :].sum((-2, -1)),
        "carrier_to_y": saliency[..., carrier, ys],
        "carrier_to_all": saliency[..., carrier, :].sum(-1),
    }


def _own_example(prompt: AlignedPrompt) -> Float[Tensor, "query key"]:
    """1 where both tokens are of one example, and not the same."""
    example = torch.tensor(prompt.occurrences)
    return (example[:, None] == example).float().fill_diagonal_(0)


@torch.inference_mode()
def _errors(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
) -> dict[str, Float[Tensor, "episode ..."]]:
    """Errors of the last answer: with the vector of each layer, without it, and in context."""
    context = residual_stream(model, format.context(episodes))
    longest = torch.tensor([[queries.shots - 1]], device=queries.x.device)
    asked = residual_stream(model, format.zero_shot(queries, longest))
    vectors = last_vectors(context, carrier_of(format))
    target = queries.target[:, -1]
    prompted = [
        asked.answer({Site(layer, carrier_of(format)): vectors[:, layer : layer + 1]})
        for layer in range(vectors.shape[1])
    ]
    return {
        "tvp": torch.stack([task.error(each, target) for each in prompted], dim=1),
        "zero_shot": task.error(asked.answer(), target),
        "icl": task.error(context.answer(), episodes.target[:, -1]),
    }
