"""Which examples of a context does a vector hold most of?"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import xarray as xr
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, asks, examples
from tvlens.analysis.shared.vector_layer import vector_layer
from tvlens.base.errors import InputError
from tvlens.interventions.patching import Site, read
from tvlens.prompts import Episodes, Prompt
from tvlens.results import DemonstrationWeights
from tvlens.subjects import Subject


@asks(CARRIER, examples(1))
def demonstration_weights(subject: Subject) -> DemonstrationWeights:
    """How far the vector moves when y of one example is that of another input of the function.

    After Figure 3c of Dong et al. (arXiv 2506.09048): inputs stay, and so does the query. The
    vector is that of the last carrier.

    Args:
        subject: models of one kind, one for each seed.
    """
    return measure_demonstration_weights(
        subject.models,
        subject.format.context,
        subject.episodes,
        subject.queries,
        Site(vector_layer(subject), subject.carrier, -1),
    )


@torch.no_grad()
def measure_demonstration_weights(
    models: Sequence[HookedRootModule],
    lay_out: Callable[[Episodes], Prompt],
    episodes: Episodes,
    others: Episodes,
    site: Site,
) -> DemonstrationWeights:
    """The same, of plain data.

    Args:
        models: of one kind, with different seeds.
        lay_out: how episodes become prompts, `format.context` say.
        episodes: the last example is the query.
        others: as many other examples of the same functions (`fresh_queries`).
        site: where the vector is read. Of several tokens, they count as one vector.

    Raises:
        InputError: there is no model, or `others` are not of these functions.
    """
    same = episodes.params.shape == others.params.shape and episodes.y.shape == others.y.shape
    if not models or not same or not torch.equal(episodes.params, others.params):
        raise InputError(
            f"Expected models, and as many other examples of the episodes' functions; got "
            f"{len(models)} models. Make the examples with `fresh_queries`."
        )
    examples = episodes.shots - 1
    prompt = lay_out(_one_replaced(episodes, others))
    shifts = [_shifts(read(model, prompt, site), examples) for model in models]
    return DemonstrationWeights(
        xr.Dataset(
            {"shift": (("seed", "episode", "example"), torch.stack(shifts).cpu().numpy())},
            coords={
                "seed": range(1, len(models) + 1),
                "example": range(1, examples + 1),
            },
            attrs={"layer": site.layer, "role": site.role.value},
        )
    )


def _one_replaced(episodes: Episodes, others: Episodes) -> Episodes:
    """The episodes as they are, then with each y but the query's replaced: "(variant batch)"."""
    y = repeat(episodes.y, "batch shot d -> variant batch shot d", variant=episodes.shots).clone()
    for example in range(episodes.shots - 1):
        y[example + 1, :, example] = others.y[:, example]
    x, target = (each.repeat(episodes.shots, 1, 1) for each in (episodes.x, episodes.target))
    params = episodes.params.repeat(episodes.shots, 1)
    return replace(episodes, x=x, y=y.flatten(0, 1), target=target, params=params)


def _shifts(
    vectors: Float[Tensor, "row token d_model"], examples: int
) -> Float[Tensor, "batch example"]:
    pattern = "(variant batch) token d -> variant batch (token d)"
    plain, *changed = rearrange(vectors, pattern, variant=examples + 1)
    return torch.stack([(each - plain).norm(dim=-1) for each in changed], 1) / plain.norm(
        dim=-1, keepdim=True
    )
