"""Reading and writing the residual stream, and task-vector prompting as it is defined.

This works on any `HookedRootModule` that is called as `model(inputs, position_ids)`, returns "batch
position d_out" and names its residual stream as TransformerLens does (`blocks.{l}.hook_resid_pre`,
`blocks.{l}.hook_resid_post`). Hooks are those of `tvlens.hooks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.errors import InputError
from tvlens.hooks import Edit, hooked_pass
from tvlens.prompts import Episodes, PositionIds, Prompt, PromptFormat, Role


@dataclass(frozen=True)
class Site:
    """A place in the residual stream: a layer and the tokens of a role."""

    layer: int
    """Residual boundary: 0 is the embedded prompt, l the stream after block l."""
    role: Role
    """Which tokens."""
    occurrence: int | None = None
    """Which one of those tokens, counted as in a list (-1 is the last); all of them if None."""

    def positions(self, prompt: Prompt) -> list[int]:
        """Where the site stands in a prompt.

        Raises:
            InputError: the prompt has no such token.
        """
        positions = prompt.positions(self.role)
        if self.occurrence is not None and -len(positions) <= self.occurrence < len(positions):
            return [positions[self.occurrence]]
        if not positions or self.occurrence is not None:
            raise InputError(
                f"{self} is not in this prompt, which has {len(positions)} tokens of that role; "
                f"its tokens are {' '.join(prompt.roles)}."
            )
        return positions


def count_layers(model: HookedRootModule) -> int:
    """Number of blocks of any model with TransformerLens's hook names."""
    layers = 0
    while f"blocks.{layers}.hook_resid_pre" in model.hook_dict:
        layers += 1
    return layers


def read(
    model: HookedRootModule, prompt: Prompt, site: Site
) -> Float[Tensor, "batch token d_model"]:
    """The residual stream at a site, one vector for each of its tokens; gradients flow through."""
    return read_all(model, prompt, [site])[site]


def read_all(
    model: HookedRootModule, prompt: Prompt, sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "batch token d_model"]]:
    """The residual stream at several sites, from one pass."""
    positions = {site: site.positions(prompt) for site in sites}
    names = {site: residual_name(model, site.layer) for site in sites}
    residuals = hooked_pass(model, prompt, read=names.values()).activations
    return {site: residuals[names[site]][:, positions[site]] for site in sites}


def write(
    model: HookedRootModule,
    prompt: Prompt,
    site: Site,
    value: Float[Tensor, "batch token d_model"],
) -> Float[Tensor, "batch position d_out"]:
    """The model's outputs when the residual stream at a site is replaced by `value`."""
    return write_all(model, prompt, {site: value})


def write_all(
    model: HookedRootModule,
    prompt: Prompt,
    values: Mapping[Site, Float[Tensor, "batch token d_model"]],
) -> Float[Tensor, "batch position d_out"]:
    """The model's outputs when the residual stream is replaced at several sites.

    Raises:
        InputError: a site that the model or the prompt does not have, or a value that does not fit
            there.
        RuntimeError: a hook point that did not fire exactly once.
    """
    return hooked_pass(model, prompt, edits=written(model, prompt, values)).outputs


def written(
    model: HookedRootModule,
    prompt: Prompt,
    values: Mapping[Site, Float[Tensor, "batch token d_model"]],
) -> dict[str, Edit]:
    """The edits of `tvlens.hooks.hooked_pass` that replace the residual stream at several sites."""
    placed: dict[str, list[tuple[list[int], Tensor, Site]]] = {}
    for site, value in values.items():
        place = (site.positions(prompt), value, site)
        placed.setdefault(residual_name(model, site.layer), []).append(place)

    def replaced(name: str) -> Edit:
        def edit(residual: Tensor) -> Tensor:
            for positions, value, site in placed[name]:
                _check_fits(value, residual, positions, site)
                index = torch.tensor(positions, device=residual.device)
                residual = residual.index_copy(1, index, value)
            return residual

        return edit

    return {name: replaced(name) for name in placed}


def task_vector_predictions(
    model: HookedRootModule,
    format: PromptFormat,
    episodes: Episodes,
    queries: Episodes,
    site: Site,
    position_ids: PositionIds = PositionIds.RESET,
) -> Float[Tensor, "batch length d_y"]:
    """Task-vector prompting (Yang et al., arXiv 2501.09240): what one vector lets a model predict.

    Each vector is read at `site` in the context and written at the same layer into a zero-shot
    prompt for a query: at the token of the same role, or at the carrier for a role (y) that a
    zero-shot prompt does not have.

    Args:
        queries: example n is asked with the vector of n examples. Where the site has seen x, these
            must be other examples than the episodes' own.

    Returns:
        Predictions for the context lengths that the role can be read at (see
        `PromptFormat.tokens`) up to shots - 1.
    """
    _, first = format.tokens(site.role, episodes.shots)
    vectors = read(model, format.context(episodes), site)
    lengths = torch.arange(first, episodes.shots, device=vectors.device)[None]
    prompt = format.zero_shot(queries, lengths, position_ids)
    place = Site(site.layer, format.written_role(site.role))
    values = rearrange(vectors, "batch length d -> (batch length) 1 d")
    outputs = write(model, prompt, place, values)[:, -1]
    return rearrange(outputs, "(batch length) d -> batch length d", length=lengths.shape[1])


def residual_name(model: HookedRootModule, layer: int) -> str:
    """The name of the hook point at a layer.

    Raises:
        InputError: a layer that the model does not have.
    """
    layers = count_layers(model)
    if not 0 <= layer <= layers:
        raise InputError(
            f"Layer {layer} is out of range: this model has residual boundaries 0..{layers}."
        )
    if layer == layers:
        return f"blocks.{layers - 1}.hook_resid_post"
    return f"blocks.{layer}.hook_resid_pre"


def _check_fits(value: Tensor, residual: Tensor, positions: list[int], site: Site) -> None:
    expected = (residual.shape[0], len(positions), residual.shape[2])
    for what, got, wanted in (
        ("shape", tuple(value.shape), expected),
        ("dtype", value.dtype, residual.dtype),
        ("device", value.device, residual.device),
    ):
        if got != wanted:
            raise InputError(
                f"The value for {site} has {what} {got}, but the residual stream there has "
                f"{what} {wanted}; make them agree (shapes are batch, tokens of the role, d_model)."
            )
