"""What do the heads and MLPs of a model add to its task vector?"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, HEAD_WEIGHTS, HEADS, ONE_MODEL, asks
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.interventions.hooks import hooked_pass
from tvlens.interventions.parts import Part, head_weights, kind_of, part_names
from tvlens.interventions.patching import Site, residual_name
from tvlens.prompts import Episodes, Format, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import Contributions
from tvlens.subjects import Subject
from tvlens.tasks import Task


@asks(ONE_MODEL, CARRIER, HEADS, HEAD_WEIGHTS)
def contributions(subject: Subject) -> Contributions:
    """The terms whose sum is the vector at the last carrier: the embedding, and what each head,
    each MLP and the biases of attention write there.

    Args:
        subject: the model whose vector is taken apart.
    """
    return measure_contributions(
        subject.model, subject.task, subject.format, subject.episodes, layer=subject.layer
    )


@torch.inference_mode()
def measure_contributions(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    *,
    layer: int,
) -> Contributions:
    """The same, of plain data.

    Args:
        model: what is taken apart.
        task: names the result.
        format: how examples become tokens.
        episodes: the contexts.
        layer: where the carrier's vector is read.

    Raises:
        InputError: the model has no hook points of its heads, does not tell how they write
            (`HeadWeights`), has no such layer, or adds something else to its stream.
    """
    names = part_names(model)
    vector_name = residual_name(model, layer)
    weights = {block: head_weights(model, block) for block in range(layer)}
    below = [name for name in names if int(name.split(".")[1]) < layer]
    read = [residual_name(model, 0), *below, vector_name]
    parts: list[tuple[Tensor, Tensor]] = []
    terms: dict[str, Tensor] = {}
    rows = list(chunks(episodes, format.n_tokens(episodes.shots)))
    for some in progress(rows, "reading contributions"):
        prompt = format.context(episodes[some])
        carrier = Site(layer, carrier_of(format), -1).places(prompt)
        activations = hooked_pass(model, prompt, read=read).activations
        seen = {name: carrier.read(each).squeeze(1) for name, each in activations.items()}
        terms = {"embedding": seen[residual_name(model, 0)]}
        for block, each in weights.items():
            z = seen[Part(block, 0).hook_name]
            heads = torch.einsum("ehk,hkd->hed", z, each.W_O)
            terms |= {str(Part(block, head)): term for head, term in enumerate(heads)}
            if each.b_O is not None:
                terms[f"L{block} bias"] = each.b_O.expand(len(z), -1)
            if Part(block).hook_name in seen:
                terms[str(Part(block))] = seen[Part(block).hook_name]
        vectors = seen[vector_name]
        _check_sum(terms, vectors)
        parts.append((torch.stack(list(terms.values()), dim=1).cpu(), vectors.cpu()))
    added, vectors = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
    return Contributions(
        xr.Dataset(
            {
                "contributions": (("episode", "part", "component"), added),
                "vectors": (("episode", "component"), vectors),
            },
            coords={"part": list(terms), "kind": ("part", [kind_of(name) for name in terms])},
            attrs={
                "layer": layer,
                "carrier": carrier_of(format).value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _check_sum(
    terms: dict[str, Float[Tensor, "episode d_model"]], vectors: Float[Tensor, "episode d_model"]
) -> None:
    rest = float((torch.stack(list(terms.values())).sum(0) - vectors).norm() / vectors.norm())
    if rest > torch.finfo(vectors.dtype).eps ** 0.5:
        raise InputError(
            f"The parts of this model sum to its residual stream only up to {rest:.1%}, so "
            "something else writes into it: a norm after attention or MLP, say, or an MLP without "
            "a hook point. Put hook points after all that changes what is added."
        )
