"""Along which attention edges does what the context says reach the answer?"""

import torch
import xarray as xr
from einops import einsum
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_LAYOUT, ONE_MODEL, PATTERNS, asks
from tvlens.base.progress import progress
from tvlens.interventions.patching import count_layers
from tvlens.interventions.saliency import MEASURES, attention_saliency
from tvlens.prompts import AlignedPrompt, Episodes, Format, aligned, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import SaliencyMap
from tvlens.subjects import Subject
from tvlens.tasks import Task


@asks(ONE_MODEL, CARRIER, PATTERNS, ONE_LAYOUT)
def saliency_map(subject: Subject) -> SaliencyMap:
    """Attention times the gradient of the loss with respect to it, between kinds of tokens.

    The loss is that of the last answer; see `SaliencyMap`.

    Args:
        subject: the model whose attention is traced.
    """
    return measure_saliency_map(subject.model, subject.task, subject.format, subject.episodes)


def measure_saliency_map(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> SaliencyMap:
    """The same, of plain data.

    Args:
        model: whose attention is traced.
        task: gives the loss.
        format: how examples become tokens.
        episodes: the contexts; the last example is asked.

    Raises:
        InputError: the model has no hook points of attention patterns.
    """
    kinds = _kinds(format, aligned(format.context(episodes[:1])))
    labels = [*format.roles, *(f"last {role}" for role in format.query)]
    member = F.one_hot(torch.tensor([labels.index(kind) for kind in kinds]), len(labels))
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "tracing attention"):
        saliency = attention_saliency(model, task, format, episodes[some])
        between = member.to(saliency)
        pattern = "measure episode block query key, query a, key b -> measure episode block a b"
        parts.append(einsum(saliency, between, between, pattern).cpu())
    found = dict(zip(MEASURES, torch.cat(parts, dim=1).numpy(), strict=True))
    dims = ("episode", "block", "query", "key")
    return SaliencyMap(
        xr.Dataset(
            {measure: (dims, values) for measure, values in found.items()},
            coords={"block": range(count_layers(model)), "query": labels, "key": labels},
            attrs={
                "carrier": carrier_of(format).value,
                "answer": format.answer.value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _kinds(format: Format, prompt: AlignedPrompt) -> list[str]:
    """What each token of a context is: of the examples, or of the query that ends it."""
    rest = len(prompt.roles) - len(format.query)
    return [*prompt.roles[:rest], *(f"last {role}" for role in prompt.roles[rest:])]
