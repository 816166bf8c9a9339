"""The locality map as one writes it with TransformerLens's hooks: a loop with a forward per cell.

It shares nothing with `tvlens.analysis.locality_map` but the tasks and the layout of prompts, so
each is a check of the other, and a benchmark of what reuse saves.
"""

import numpy as np
import torch
import xarray as xr
from hooked_forwards import (
    cached_vectors,
    cut_context_vectors,
    first_shots,
    run_with_ignorant_carrier,
    run_with_knockout,
    run_with_vector,
)
from torch import Generator, Tensor

from tvlens import Episodes, HookedTransformer, PositionIds, Task, TokenFormat
from tvlens.prompts import Prompt


@torch.inference_mode()
def hook_loop(
    model: HookedTransformer,
    task: Task,
    format: TokenFormat,
    episodes: Episodes,
    queries: Episodes,
    *,
    untrained: HookedTransformer,
    generator: Generator,
    position_ids: PositionIds = PositionIds.RESET,
    cached: bool = True,
) -> xr.Dataset:
    """What `LocalityMap.data` holds, but for the oracle.

    Args:
        cached: run the contexts once and keep all residuals, instead of running for every cell the
            context of just that many examples.
    """
    layers, roles, lengths = range(model.n_layers + 1), format.roles, range(episodes.shots)
    shape = (episodes.batch, len(layers), len(roles), len(lengths))
    tvp = np.full(shape, np.nan, np.float32)
    shuffled, random, own = (np.full_like(tvp[:, :, 0], np.nan) for _ in range(3))
    icl, zero_shot = (np.empty_like(tvp[:, 0, 0]) for _ in range(2))
    window, ablated = (np.empty_like(tvp[:, :, 0, 0]) for _ in range(2))

    reader = cached_vectors if cached else cut_context_vectors
    read, read_untrained = (reader(each, format, episodes) for each in (model, untrained))
    d_model = model.config.d_model
    noise = torch.randn(episodes.batch, d_model, generator=generator, device=episodes.x.device)

    def errors(outputs: Tensor, asked: Episodes, length: int) -> np.ndarray:
        return task.error(outputs[:, -1], asked.target[:, length]).float().cpu().numpy()

    for length in lengths:
        prompt = zero_shot_prompt(format, queries, length, position_ids)
        outputs = model(prompt.inputs, prompt.position_ids)
        zero_shot[:, length] = errors(outputs, queries, length)
        context = format.context(first_shots(episodes, length + 1))
        icl[:, length] = errors(model(context.inputs, context.position_ids), episodes, length)

        for layer in layers:
            for row, role in enumerate(roles):
                vector = read(layer, role, length)
                if vector is None:
                    continue
                at = prompt.places(format.written_role(role)).positions()[-1]
                outputs = run_with_vector(model, prompt, layer, at, vector)
                tvp[:, layer, row, length] = errors(outputs, queries, length)
                if role is not format.carrier:
                    continue
                scale = vector.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
                outputs = run_with_vector(model, prompt, layer, at, vector.roll(1, dims=0))
                shuffled[:, layer, length] = errors(outputs, queries, length)
                outputs = run_with_vector(model, prompt, layer, at, noise * scale)
                random[:, layer, length] = errors(outputs, queries, length)
                vector = read_untrained(layer, role, length)
                assert vector is not None
                outputs = run_with_vector(untrained, prompt, layer, at, vector)
                own[:, layer, length] = errors(outputs, queries, length)

    ignorant = zero_shot_prompt(format, episodes, lengths[-1], PositionIds.KEEP)
    outputs = model(ignorant.inputs, ignorant.position_ids)
    ignorant_errors = errors(outputs, episodes, -1)
    for layer in layers:
        outputs = run_with_knockout(model, format, episodes, layer)
        window[:, layer] = errors(outputs, episodes, -1)
        outputs = run_with_ignorant_carrier(model, format, episodes, ignorant, layer)
        ablated[:, layer] = errors(outputs, episodes, -1)

    dims = ("episode", "layer", "examples")
    return xr.Dataset(
        {
            "tvp": (("episode", "layer", "role", "examples"), tvp),
            "icl": (("episode", "examples"), icl),
            "zero_shot": (("episode", "examples"), zero_shot),
            "shuffled": (dims, shuffled),
            "random": (dims, random),
            "untrained": (dims, own),
            "window": (("episode", "layer"), window),
            "ablated": (("episode", "layer"), ablated),
            "ignorant": ("episode", ignorant_errors),
        },
        {"layer": list(layers), "role": [r.value for r in roles], "examples": list(lengths)},
    )


def zero_shot_prompt(
    format: TokenFormat, queries: Episodes, length: int, position_ids: PositionIds
) -> Prompt:
    """What is asked after `length` examples, without them."""
    lengths = torch.tensor([[length]], device=queries.x.device)
    return format.zero_shot(queries, lengths, position_ids)
