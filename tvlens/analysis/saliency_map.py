"""Along which attention edges does what the context says reach the answer?"""

import torch
import xarray as xr
from einops import einsum
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.base.progress import progress
from tvlens.interventions.patching import count_layers
from tvlens.interventions.saliency import MEASURES, attention_saliency
from tvlens.prompts import AlignedPrompt, Episodes, Format, aligned, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import SaliencyMap
from tvlens.tasks import Task


def saliency_map(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> SaliencyMap:
    """Attention times the gradient of the loss with respect to it, between kinds of tokens.

    The loss is that of the last answer; see `SaliencyMap`.

    Args:
        task: gives the loss.
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
            coords={"block": range(1, count_layers(model) + 1), "query": labels, "key": labels},
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
