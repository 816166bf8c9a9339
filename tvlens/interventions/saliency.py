"""Saliency of attention edges: attention times the gradient of the loss with respect to it.

To first order it is how much the loss of the last answer would change if an edge were cut (Wang et
al., arXiv 2305.14160; Dong et al., arXiv 2506.09048, section 3). Any `HookedRootModule` with
`blocks.{l}.attn.hook_pattern` will do.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.interventions.hooks import check_hook_points, hooked_pass
from tvlens.interventions.patching import count_layers
from tvlens.prompts import Episodes, Format
from tvlens.tasks import Task

MEASURES = ("per_head", "joint")
"""How heads are put together: absolute values before, or after the sum over heads."""


def attention_saliency(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> Float[Tensor, "measure episode block query key"]:
    """Saliency of each edge for the loss of the last answer, by the two `MEASURES`.

    Needs memory for the patterns of all heads: give some episodes at a time.

    Raises:
        InputError: the model has no hook points of attention patterns.
    """
    signed = attention_times_gradient(model, task, format, episodes)
    return torch.stack([signed.abs().sum(2), signed.sum(2).abs()])


@torch.enable_grad()
def attention_times_gradient(
    model: HookedRootModule, task: Task, format: Format, episodes: Episodes
) -> Float[Tensor, "episode block head query key"]:
    """A dL/dA for the attention A of each edge in each head, and the loss L of the last answer.

    Neither the weights' own gradients nor whether they ask for any is touched.

    Raises:
        InputError: the model has no hook points of attention patterns.
    """
    names = [f"blocks.{block}.attn.hook_pattern" for block in range(count_layers(model))]
    check_hook_points(model, names)
    prompt = format.context(episodes)
    outputs, patterns = hooked_pass(model, prompt, read=names, edits=dict.fromkeys(names, _tracked))
    answers = prompt.answers.last
    prediction = answers.predictions(outputs[:, answers.only])[:, -1]
    loss = task.loss(prediction, episodes.target[:, -1]).sum()
    attention = [patterns[name] for name in names]
    gradients = torch.autograd.grad(loss, attention)
    products = [a.detach() * g for a, g in zip(attention, gradients, strict=True)]
    return torch.stack(products, dim=1)


def _tracked(attention: Tensor) -> Tensor:
    """Attention that has a gradient, even where no weight of the model asks for one."""
    return attention if attention.requires_grad else attention.detach().requires_grad_()
