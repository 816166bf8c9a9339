"""Forwards with TransformerLens's hooks: read a vector, write one, cut attention, hold a token."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tvlens import Episodes, HookedTransformer, Role, TokenFormat
from tvlens.prompts import Prompt

ReadVector = Callable[[int, Role, int], Tensor | None]
"""From a layer, a role and a context length to the vectors (batch d_model) there, if there is such
a token."""


def cached_vectors(model: HookedTransformer, format: TokenFormat, episodes: Episodes) -> ReadVector:
    """Vectors out of the residuals of one run of the longest contexts."""
    prompt = format.context(episodes)
    names = [residual_name(model, layer) for layer in range(model.n_layers + 1)]
    _, cache = model.run_with_cache(prompt.inputs, prompt.position_ids, names_filter=names)

    def read(layer: int, role: Role, length: int) -> Tensor | None:
        tokens = format.shot * (length + 1)
        tokens = tokens[: format.n_tokens(length + 1)]
        if role not in tokens:
            return None
        position = len(tokens) - 1 - tokens[::-1].index(role)
        return cache[residual_name(model, layer)][:, position]

    return read


def cut_context_vectors(
    model: HookedTransformer, format: TokenFormat, episodes: Episodes
) -> ReadVector:
    """Each vector out of a run of the context that has just as many examples."""

    def read(layer: int, role: Role, length: int) -> Tensor | None:
        prompt = format.context(first_shots(episodes, length + 1))
        positions, kept = prompt.places(role).positions(), []
        if not positions:
            return None

        def keep(residual: Tensor, hook: object) -> None:
            kept.append(residual[:, positions[-1]])

        run(model, prompt, {residual_name(model, layer): keep})
        return kept[0]

    return read


def run_with_vector(
    model: HookedTransformer, prompt: Prompt, layer: int, position: int, vector: Tensor
) -> Tensor:
    """Outputs when a vector replaces the residual at a layer and position."""
    return run(model, prompt, {residual_name(model, layer): replace(position, vector)})


def run_with_knockout(
    model: HookedTransformer, format: TokenFormat, episodes: Episodes, layer: int
) -> Tensor:
    """Outputs when, in the blocks above a layer, tokens of the last query attend to each other
    only; a carrier that does not answer attends as ever.
    """
    prompt = format.context(episodes)
    start = len(prompt.roles) - len(format.query)
    blind = [
        start + offset
        for offset, role in enumerate(format.query)
        if role is format.answer or role is not format.carrier
    ]

    def knock_out(scores: Tensor, hook: object) -> Tensor:
        scores[:, :, blind, :start] = -torch.inf
        return scores

    above = range(layer, model.n_layers)
    return run(
        model, prompt, {f"blocks.{block}.attn.hook_attn_scores": knock_out for block in above}
    )


def run_with_ignorant_carrier(
    model: HookedTransformer,
    format: TokenFormat,
    episodes: Episodes,
    ignorant: Prompt,
    layer: int,
) -> Tensor:
    """Outputs when, from a layer to below the last one, the last carrier has the residuals of a
    prompt without a context.
    """
    prompt = format.context(episodes)
    names = [residual_name(model, above) for above in range(layer, model.n_layers)]
    inputs = (ignorant.inputs, ignorant.position_ids)
    _, cache = model.run_with_cache(*inputs, names_filter=names)
    source, target = (each.places(format.carrier).positions()[-1] for each in (ignorant, prompt))
    hooks = {name: replace(target, cache[name][:, source]) for name in names}
    return run(model, prompt, hooks)


def run(
    model: HookedTransformer, prompt: Prompt, hooks: Mapping[str, Callable[..., Tensor | None]]
) -> Tensor:
    """Outputs with functions at hook points."""
    fwd_hooks: list = list(hooks.items())
    return model.run_with_hooks(prompt.inputs, prompt.position_ids, fwd_hooks=fwd_hooks)


def replace(position: int, vector: Tensor) -> Callable[..., Tensor]:
    """A hook that puts a vector at a position."""

    def hook_function(residual: Tensor, hook: object) -> Tensor:
        residual[:, position] = vector
        return residual

    return hook_function


def residual_name(model: HookedTransformer, layer: int) -> str:
    """The hook point of a residual boundary: 0 is the embedding, n_layers the last block's end."""
    if layer == model.n_layers:
        return f"blocks.{layer - 1}.hook_resid_post"
    return f"blocks.{layer}.hook_resid_pre"


def first_shots(episodes: Episodes, shots: int) -> Episodes:
    """The same episodes with fewer examples."""
    x, y, target = (each[:, :shots] for each in (episodes.x, episodes.y, episodes.target))
    return Episodes(x, y, target, episodes.params)
