"""Where does a model keep the task, how strongly, and does it need it there?"""

import functools
from collections.abc import Callable

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor
from transformer_lens import HookedRootModule

from tvlens.baselines import icl_errors, label_errors, oracle_errors, zero_shot_errors
from tvlens.models import HookedTransformer
from tvlens.patching import Site, count_layers, read_all, write, write_all
from tvlens.prompts import Episodes, PositionIds, Prompt, PromptFormat
from tvlens.results import LocalityMap
from tvlens.task_vectors import continue_with, residual_stream
from tvlens.tasks import Task

Vectors = Float[Tensor, "batch length d_model"]


@torch.inference_mode()
def locality_map(
    model: HookedRootModule,
    task: Task,
    format: PromptFormat,
    episodes: Episodes,
    queries: Episodes,
    *,
    untrained: HookedRootModule,
    generator: Generator,
    position_ids: PositionIds = PositionIds.RESET,
) -> LocalityMap:
    """Task-vector prompting at every layer, role and context length, with controls.

    What the arrays mean is in `LocalityMap`; the scores follow from them.

    Args:
        model: what is mapped.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts.
        queries: what the zero-shot prompts ask: other examples of the same functions
            (`fresh_queries`), since some tokens have seen their own x.
        untrained: a model of the same kind before training, for the control.
        generator: draws the random control vectors.
        position_ids: those of the zero-shot prompts.
    """
    layers = range(count_layers(model) + 1)
    sites = [Site(layer, role) for layer in layers for role in format.roles]
    carriers = [site for site in sites if site.role is format.carrier]
    vectors = read_all(model, format.context(episodes), sites)
    own = read_all(untrained, format.context(episodes), carriers)
    ask = _prompting(model, task, format, queries, position_ids)
    ask_untrained = _prompting(untrained, task, format, queries, position_ids)

    def control(make: Callable[[Vectors], Vectors]) -> xr.DataArray:
        return _by_layer({site.layer: ask(site, make(vectors[site])) for site in carriers})

    by_role = {
        role.value: _by_layer({s.layer: ask(s, vectors[s]) for s in sites if s.role is role})
        for role in format.roles
    }
    written = [format.written_role(role).value for role in format.roles]
    data = xr.Dataset(
        {
            "tvp": xr.concat(by_role.values(), xr.Variable("role", list(by_role)), join="outer"),
            "icl": icl_errors(model, task, format, episodes),
            "zero_shot": zero_shot_errors(model, task, format, queries, position_ids),
            "oracle": oracle_errors(task, episodes),
            "shuffled": control(lambda value: value.roll(1, dims=0)),
            "random": control(lambda value: _norm_matched(value, generator)),
            "untrained": _by_layer({site.layer: ask_untrained(site, own[site]) for site in own}),
            "window": _window_errors(model, task, format, episodes),
            "ablated": _ablated_errors(model, task, format, episodes),
            "ignorant": zero_shot_errors(model, task, format, episodes, PositionIds.KEEP).isel(
                examples=-1, drop=True
            ),
        },
        coords={"written": ("role", written)},
        attrs={
            "carrier": format.carrier.value,
            "format": format.name,
            "task": type(task).__name__,
            "position_ids": position_ids.value,
        },
    )
    return LocalityMap(data.transpose("episode", "layer", "role", "examples"))


def _prompting(
    model: HookedRootModule,
    task: Task,
    format: PromptFormat,
    queries: Episodes,
    position_ids: PositionIds,
) -> Callable[[Site, Vectors], xr.DataArray]:
    """A function from a site, and vectors of the longest contexts, to the errors of prompts with
    these vectors written there.

    A model that can start at a layer runs the prompts once, and for each write the layers above it
    only; any other runs whole each time, with hooks.
    """

    @functools.cache
    def zero_shot(first: int) -> tuple[Prompt, list[Tensor]]:
        lengths = torch.arange(first, queries.shots, device=queries.x.device)[None]
        prompt = format.zero_shot(queries, lengths, position_ids)
        if isinstance(model, HookedTransformer):
            return prompt, residual_stream(model, prompt)
        return prompt, []

    def errors(site: Site, vectors: Vectors) -> xr.DataArray:
        first = queries.shots - vectors.shape[1]
        prompt, stream = zero_shot(first)
        written = Site(site.layer, format.written_role(site.role))
        value = rearrange(vectors, "batch length d -> (batch length) 1 d")
        if isinstance(model, HookedTransformer):
            outputs = continue_with(model, prompt, stream[site.layer], written, value)
        else:
            outputs = write(model, prompt, written, value)
        answers = rearrange(outputs[:, -1], "(batch n) d -> batch n d", n=vectors.shape[1])
        return label_errors(task.error(answers, queries.target[:, first:]), first)

    return errors


def _window_errors(
    model: HookedRootModule, task: Task, format: PromptFormat, episodes: Episodes
) -> xr.DataArray:
    """Errors of the last answer when, above a layer, the tokens of its query see only each other.

    A prompt of just these tokens is run, with the states that they have in the full context: all of
    them at the layer, and above it those of a carrier that does not answer itself, which still sees
    everything.
    """
    layers = range(count_layers(model) + 1)
    context = format.context(episodes)
    window = context.last(len(format.query))
    sites = [Site(layer, role, -1) for layer in layers for role in format.query]
    states = read_all(model, context, sites)
    errors = {}
    for layer in layers:
        values = {
            site: value
            for site, value in states.items()
            if site.layer == layer
            or (site.layer > layer and site.role is format.carrier is not format.answer)
        }
        outputs = write_all(model, window, values)[:, -1]
        errors[layer] = _last_errors(task, outputs, episodes)
    return _by_layer(errors)


def _ablated_errors(
    model: HookedRootModule, task: Task, format: PromptFormat, episodes: Episodes
) -> xr.DataArray:
    """Errors of the last answer when, from a layer on, its carrier is as if there were no context.

    Nothing is held after the last block: where the carrier answers itself, that would replace the
    answer and not what it is made from.
    """
    layers = range(count_layers(model) + 1)
    longest = torch.tensor([[episodes.shots - 1]], device=episodes.x.device)
    ignorant = format.zero_shot(episodes, longest, PositionIds.KEEP)
    sites = [Site(layer, format.carrier, -1) for layer in layers[:-1]]
    states = read_all(model, ignorant, sites)
    context = format.context(episodes)
    errors = {}
    for layer in layers:
        values = {site: value for site, value in states.items() if site.layer >= layer}
        outputs = write_all(model, context, values)[:, -1]
        errors[layer] = _last_errors(task, outputs, episodes)
    return _by_layer(errors)


def _last_errors(
    task: Task, outputs: Float[Tensor, "batch d_y"], episodes: Episodes
) -> xr.DataArray:
    errors = label_errors(task.error(outputs, episodes.target[:, -1])[:, None])
    return errors.isel(examples=0, drop=True)


def _by_layer(errors: dict[int, xr.DataArray]) -> xr.DataArray:
    return xr.concat(errors.values(), xr.Variable("layer", list(errors)))


def _norm_matched(vectors: Vectors, generator: Generator) -> Vectors:
    """Random directions with the vectors' norms."""
    noise = torch.randn(vectors.shape, generator=generator, device=vectors.device).to(vectors)
    return noise * (vectors.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
