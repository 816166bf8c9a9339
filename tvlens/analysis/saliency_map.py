"""Along which attention edges does what the context says reach the answer?"""

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformer_lens import HookedRootModule

from tvlens.chunks import chunks
from tvlens.hooks import check_hook_points, hooked_pass
from tvlens.patching import count_layers
from tvlens.progress import progress
from tvlens.prompts import Episodes, Prompt, PromptFormat
from tvlens.results import SaliencyMap
from tvlens.tasks import Task


def saliency_map(
    model: HookedRootModule, task: Task, format: PromptFormat, episodes: Episodes
) -> SaliencyMap:
    """Attention times the gradient of the loss with respect to it, between kinds of tokens.

    The loss is that of the last answer; see `SaliencyMap`.

    Args:
        task: gives the loss.
        episodes: the contexts; the last example is asked.

    Raises:
        InputError: the model has no hook points of attention patterns.
    """
    names = [f"blocks.{block}.attn.hook_pattern" for block in range(count_layers(model))]
    check_hook_points(model, names)
    kinds = _kinds(format, format.context(episodes[:1]))
    labels = [*format.roles, *(f"last {role}" for role in format.query)]
    member = F.one_hot(torch.tensor([labels.index(kind) for kind in kinds]), len(labels))
    parts = []
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "tracing attention"):
        signed = _attention_times_gradient(model, task, format, episodes[some], names)
        between = member.to(signed)
        pattern = "episode block query key, query a, key b -> episode block a b"
        per_head = einsum(signed.abs().sum(2), between, between, pattern)
        joint = einsum(signed.sum(2).abs(), between, between, pattern)
        parts.append(torch.stack([per_head, joint]).cpu())
    per_head, joint = torch.cat(parts, dim=1).numpy()
    dims = ("episode", "block", "query", "key")
    return SaliencyMap(
        xr.Dataset(
            {"per_head": (dims, per_head), "joint": (dims, joint)},
            coords={"block": range(1, len(names) + 1), "query": labels, "key": labels},
            attrs={
                "carrier": format.carrier.value,
                "answer": format.answer.value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _kinds(format: PromptFormat, prompt: Prompt) -> list[str]:
    """What each token of a context is: of the examples, or of the query that ends it."""
    rest = len(prompt.roles) - len(format.query)
    return [*prompt.roles[:rest], *(f"last {role}" for role in prompt.roles[rest:])]


@torch.enable_grad()
def _attention_times_gradient(
    model: HookedRootModule,
    task: Task,
    format: PromptFormat,
    episodes: Episodes,
    names: list[str],
) -> Float[Tensor, "episode block head query key"]:
    prompt = format.context(episodes)
    outputs, patterns = hooked_pass(model, prompt, read=names, edits=dict.fromkeys(names, _tracked))
    loss = task.loss(outputs[:, -1], episodes.target[:, -1]).sum()
    attention = [patterns[name] for name in names]
    gradients = torch.autograd.grad(loss, attention)
    products = [a.detach() * g for a, g in zip(attention, gradients, strict=True)]
    return torch.stack(products, dim=1)


def _tracked(attention: Tensor) -> Tensor:
    """Attention that has a gradient, even where no weight of the model asks for one."""
    return attention if attention.requires_grad else attention.detach().requires_grad_()
