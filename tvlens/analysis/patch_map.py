"""Where in a context does the residual stream know which function is asked?"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, ONE_MODEL, asks
from tvlens.base.progress import progress
from tvlens.interventions.patching import Site, count_layers, read_all
from tvlens.interventions.residual_stream import ResidualStream, residual_stream
from tvlens.prompts import Episodes, Format, carrier_of
from tvlens.prompts.chunks import chunks
from tvlens.results import PatchMap
from tvlens.subjects import Subject
from tvlens.tasks import Task, check_relabelled, relabelled

TOKENS = {"last": -1, "all": None}
"""Which tokens of a role are replaced."""


@asks(ONE_MODEL, CARRIER)
def patch_map(subject: Subject) -> PatchMap:
    """Errors of the last answer in contexts of another function, when the residual stream at a site
    is that of the right context, or its mean over episodes.

    Args:
        subject: the model that is patched.
    """
    episodes = subject.episodes
    corrupted = relabelled(subject.task, episodes, generator=subject.generator())
    return measure_patch_map(subject.model, subject.task, subject.format, episodes, corrupted)


@torch.inference_mode()
def measure_patch_map(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    corrupted: Episodes,
) -> PatchMap:
    """The same, of plain data.

    Args:
        model: what is patched.
        task: gives errors.
        format: how examples become tokens.
        episodes: the clean contexts; the last example is asked.
        corrupted: the same inputs under other functions (`relabelled`).

    Raises:
        InputError: `corrupted` is not that.
    """
    check_relabelled(episodes, corrupted)
    sites = [
        Site(layer, role, occurrence)
        for layer in range(count_layers(model) + 1)
        for role in format.roles
        for occurrence in TOKENS.values()
    ]
    everywhere = [site for site in sites if site.occurrence is None]
    tokens = format.n_tokens(episodes.shots)
    sums: dict[Site, Tensor] = {}
    rows = list(chunks(episodes, tokens))
    for some in progress(rows, "averaging"):
        residuals = read_all(model, format.context(episodes[some]), everywhere)
        for site, residual in residuals.items():
            sums[site] = sums.get(site, 0) + residual.sum(0, keepdim=True)
    parts = []
    for some in progress(rows, "patching"):
        target = episodes.target[some][:, -1]
        clean = residual_stream(model, format.context(episodes[some]))
        # A text shows the answer that is scored, whose tokens follow from one another.
        asked = replace(corrupted[some], target=episodes.target[some])
        corrupt = residual_stream(model, format.context(asked))

        removed = {site: _at(sums, site) / episodes.batch for site in sites}
        removed = {site: mean.expand(len(target), -1, -1) for site, mean in removed.items()}
        kept = {site: clean.read(site) for site in sites}
        parts.append(
            {
                "patched": _errors(task, corrupt, kept, target),
                "removed": _errors(task, corrupt, removed, target),
                "clean": task.error(clean.answer(), target),
                "corrupt": task.error(corrupt.answer(), target),
            }
        )
    data = {name: torch.cat([part[name] for part in parts]).float().cpu() for name in parts[0]}
    shape = (-1, len(format.roles), len(TOKENS))
    dims = ("episode", "layer", "role", "tokens")
    return PatchMap(
        xr.Dataset(
            {
                "patched": (dims, data["patched"].unflatten(1, shape).numpy()),
                "removed": (dims, data["removed"].unflatten(1, shape).numpy()),
                "clean": ("episode", data["clean"].numpy()),
                "corrupt": ("episode", data["corrupt"].numpy()),
            },
            coords={
                "layer": range(count_layers(model) + 1),
                "role": [role.value for role in format.roles],
                "tokens": list(TOKENS),
            },
            attrs={
                "carrier": carrier_of(format).value,
                "answer": format.answer.value,
                "format": format.name,
                "task": type(task).__name__,
            },
        )
    )


def _at(residuals: Mapping[Site, Tensor], site: Site) -> Float[Tensor, "batch token d_model"]:
    """What stands at a site, from what stands at all tokens of its role."""
    tokens = residuals[Site(site.layer, site.role)]
    return tokens if site.occurrence is None else tokens[:, [site.occurrence]]


def _errors(
    task: Task,
    stream: ResidualStream,
    values: Mapping[Site, Float[Tensor, "episode _ d_model"]],
    target: Float[Tensor, "episode d_y"],
) -> Float[Tensor, "episode site"]:
    """Errors of the answers when a value is written, one site at a time."""
    answers = [stream.answer({site: value}) for site, value in values.items()]
    return torch.stack([task.error(answer, target) for answer in answers], dim=1)
