"""Reading and writing the residual stream.

This works on any `HookedRootModule` that is called as `model(inputs, position_ids)`, returns "batch
position d_out" and names its residual stream as TransformerLens does (`blocks.{l}.hook_resid_pre`,
`blocks.{l}.hook_resid_post`). Hooks are those of `tvlens.interventions.hooks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.interventions.hooks import Edit, hooked_pass
from tvlens.prompts import Places, Prompt, Role


@dataclass(frozen=True)
class Site:
    """A place in the residual stream: a layer and the tokens of a role."""

    layer: int
    """Residual boundary: 0 is the embedded prompt, l the stream after block l."""
    role: Role
    """Which tokens."""
    occurrence: int | None = None
    """Which one of those tokens, counted as in a list (-1 is the last); all of them if None."""

    def places(self, prompt: Prompt) -> Places:
        """Where the site stands in a prompt.

        Raises:
            InputError: the prompt has no such token.
        """
        places, occurrence = prompt.places(self.role), self.occurrence
        if not places.count or not -places.count <= (occurrence or 0) < places.count:
            raise InputError(
                f"{self} is not in this prompt, which has {places.count} tokens of that role; its "
                f"tokens are of the roles {', '.join(prompt.present)}."
            )
        return places if occurrence is None else places.only(occurrence)


@dataclass(frozen=True)
class QuerySite:
    """All tokens of the example that a prompt asks last, at a layer."""

    layer: int
    """Residual boundary."""

    def places(self, prompt: Prompt) -> Places:
        """Where the tokens stand in a prompt."""
        return prompt.query


AnySite = TypeVar("AnySite", bound=Site | QuerySite)
"""Sites are the keys of what is read and written."""


def count_layers(model: HookedRootModule) -> int:
    """Number of blocks of any model with TransformerLens's hook names."""
    layers = 0
    while f"blocks.{layers}.hook_resid_pre" in model.hook_dict:
        layers += 1
    return layers


def check_layer(model: HookedRootModule, layer: int) -> None:
    """Raise InputError unless the model has a layer."""
    layers = count_layers(model)
    if not 0 <= layer <= layers:
        raise InputError(
            f"Layer {layer} is out of range: this model has residual boundaries 0..{layers}."
        )


def read(
    model: HookedRootModule, prompt: Prompt, site: Site | QuerySite
) -> Float[Tensor, "batch token d_model"]:
    """The residual stream at a site, one vector for each of its tokens; gradients flow through."""
    return read_all(model, prompt, [site])[site]


def read_all(
    model: HookedRootModule, prompt: Prompt, sites: Sequence[AnySite]
) -> dict[AnySite, Float[Tensor, "batch token d_model"]]:
    """The residual stream at several sites, from one pass."""
    places = {site: site.places(prompt) for site in sites}
    names = {site: residual_name(model, site.layer) for site in sites}
    residuals = hooked_pass(model, prompt, read=names.values()).activations
    return {site: places[site].read(residuals[names[site]]) for site in sites}


def write(
    model: HookedRootModule,
    prompt: Prompt,
    site: Site | QuerySite,
    value: Float[Tensor, "batch token d_model"],
) -> Float[Tensor, "batch position d_out"]:
    """The model's outputs when the residual stream at a site is replaced by `value`."""
    return write_all(model, prompt, {site: value})


def write_all(
    model: HookedRootModule,
    prompt: Prompt,
    values: Mapping[AnySite, Float[Tensor, "batch token d_model"]],
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
    values: Mapping[AnySite, Float[Tensor, "batch token d_model"]],
) -> dict[str, Edit]:
    """The edits of `hooked_pass` that replace the residual stream at several sites."""
    placed: dict[str, list[tuple[Places, Tensor, Site | QuerySite]]] = {}
    for site, value in values.items():
        place = (site.places(prompt), value, site)
        placed.setdefault(residual_name(model, site.layer), []).append(place)

    def replaced(name: str) -> Edit:
        def edit(residual: Tensor) -> Tensor:
            for places, value, site in placed[name]:
                _check_fits(value, residual, places, site)
                residual = places.write(residual, value)
            return residual

        return edit

    return {name: replaced(name) for name in placed}


def residual_name(model: HookedRootModule, layer: int) -> str:
    """The name of the hook point at a layer.

    Raises:
        InputError: a layer that the model does not have.
    """
    check_layer(model, layer)
    if layer == count_layers(model):
        return f"blocks.{layer - 1}.hook_resid_post"
    return f"blocks.{layer}.hook_resid_pre"


def _check_fits(value: Tensor, residual: Tensor, places: Places, site: Site | QuerySite) -> None:
    expected = (residual.shape[0], places.count, residual.shape[2])
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
