"""A prompt's residual stream, and what the answer becomes when some of it is replaced.

Sweeps ask this for hundreds of sites. For a `HookedTransformer` the stream is computed once, and a
replacement costs no more than what it can change: the layers above it, and of these the tokens that
do not stand left of it. Any other model is asked with hooks. Tests hold both equal.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.interventions.hooks import Edit, attached, hooked_pass
from tvlens.interventions.patching import (
    AnySite,
    QuerySite,
    Site,
    count_layers,
    residual_name,
    write_all,
)
from tvlens.models import HookedTransformer
from tvlens.models.protocol import is_causal
from tvlens.prompts import AlignedPrompt, Answers, Prompt, Role


class Rerun(NamedTuple):
    """What a rerun of the last tokens gave; rows are "(copy batch)"."""

    layers: dict[int, Float[Tensor, "row token d_model"]]
    """The stream at the layer that the rerun started from, and at those above it."""
    outputs: Float[Tensor, "row token d_out"]


@runtime_checkable
class ResidualStream(Protocol):
    """The residual stream of one prompt at every layer."""

    @property
    def n_layers(self) -> int:
        """Number of blocks, which is the last layer."""
        ...

    def read(self, site: Site | QuerySite) -> Float[Tensor, "batch token d_model"]:
        """The stream at a site, as `tvlens.interventions.patching.read` gives it."""
        ...

    def answers(self) -> Float[Tensor, "batch answer d_y"]:
        """The predictions at all places where the prompt is answered."""
        ...

    def answer(
        self, values: Mapping[AnySite, Float[Tensor, "batch _ d_model"]] | None = None
    ) -> Float[Tensor, "batch d_y"]:
        """The last prediction when the stream is replaced at some sites, as
        `tvlens.interventions.patching.write_all` gives it; as it is if at none.
        """
        ...

    def rerun(
        self, edits: Mapping[str, Edit], *, layer: int, tokens: int, copies: int = 1
    ) -> Rerun:
        """The last tokens when activations of the blocks above a layer are edited.

        Args:
            edits: by the name of the hook point. They see at least the last `tokens` tokens; other
                tokens must stay as they are.
            layer: below all that is edited.
            tokens: how many tokens are run again.
            copies: how many times each row is run, "(copy batch)".
        """
        ...


def residual_stream(model: HookedRootModule, prompt: Prompt) -> ResidualStream:
    """The residual stream of a prompt, from one pass."""
    if isinstance(model, HookedTransformer) and is_causal(model):
        return _StoredStream(model, prompt)
    return _HookedStream(model, prompt)


def last_vectors(stream: ResidualStream, role: Role) -> Float[Tensor, "batch layer d_model"]:
    """The stream at the last token of a role, at every layer."""
    layers = range(stream.n_layers + 1)
    return torch.cat([stream.read(Site(layer, role, -1)) for layer in layers], dim=1)


class _HookedStream:
    """By hooks, a whole pass for each answer: the definition, for any model."""

    def __init__(self, model: HookedRootModule, prompt: Prompt) -> None:
        self.model, self.prompt = model, prompt
        self.n_layers = count_layers(model)
        names = {layer: residual_name(model, layer) for layer in range(self.n_layers + 1)}
        ran = hooked_pass(model, prompt, read=names.values())
        self.layers = {layer: ran.activations[name] for layer, name in names.items()}
        self._answers = _predictions(prompt.answers, ran.outputs)

    def read(self, site: Site | QuerySite) -> Tensor:
        return site.places(self.prompt).read(self.layers[site.layer])

    def answers(self) -> Tensor:
        return self._answers

    def answer(self, values: Mapping[AnySite, Tensor] | None = None) -> Tensor:
        if not values:
            return self._answers[:, -1]
        outputs = write_all(self.model, self.prompt, values)
        return _predictions(self.prompt.answers.last, outputs)[:, -1]

    def rerun(
        self, edits: Mapping[str, Edit], *, layer: int, tokens: int, copies: int = 1
    ) -> Rerun:
        above = range(layer, self.n_layers + 1)
        names = {each: residual_name(self.model, each) for each in above}
        prompt = self.prompt.repeated(copies)
        ran = hooked_pass(self.model, prompt, read=names.values(), edits=edits)
        layers = {each: ran.activations[name][:, -tokens:] for each, name in names.items()}
        return Rerun(layers, ran.outputs[:, -tokens:])


class _StoredStream:
    """From the stored stream, by running only what a replacement can change."""

    def __init__(self, model: HookedTransformer, prompt: Prompt) -> None:
        self.model, self.prompt, self.n_layers = model, prompt, model.n_layers
        self.layers = [model(prompt.inputs, prompt.position_ids, stop_at_layer=0)]
        for layer in range(model.n_layers):
            self.layers.append(self._next(layer, self.layers[-1], 0))

    def read(self, site: Site | QuerySite) -> Tensor:
        return site.places(self.prompt).read(self.layers[site.layer])

    def answers(self) -> Tensor:
        return self._predictions(self.prompt.answers, self.layers[-1], 0)

    def answer(self, values: Mapping[AnySite, Tensor] | None = None) -> Tensor:
        values = values or {}
        top, answers = self.n_layers, self.prompt.answers.last
        where = {site: site.places(self.prompt) for site in values}
        first = range(self.prompt.length)[answers.only][0]
        left = min((places.leftmost for places in where.values()), default=first)
        lowest = min((site.layer for site in values), default=top)
        tail = self.layers[lowest][:, left:]
        for layer in range(lowest, top + 1):
            for site, value in values.items():
                if site.layer == layer:
                    places, kept = where[site].after(left)
                    tail = places.write(tail, value[:, kept])
            if layer < top:
                before = self.layers[layer][:, :left]
                # Above the last block only what is answered counts.
                left = first if layer == top - 1 and self._aligned else left
                tail = self._next(layer, torch.cat([before, tail], dim=1), left)
        return self._predictions(answers, tail, left)[:, -1]

    @property
    def _aligned(self) -> bool:
        return isinstance(self.prompt, AlignedPrompt)

    def _predictions(self, answers: Answers, stream: Tensor, left: int) -> Tensor:
        """What is said at some answers, from the last stream of the tokens from `left` on."""
        needed = range(self.prompt.length)[answers.only]
        only = slice(needed.start - left, needed.stop - left, needed.step)
        outputs = self.model(stream, start_at_layer=self.n_layers, only=only)
        return answers.predictions(outputs)

    def rerun(
        self, edits: Mapping[str, Edit], *, layer: int, tokens: int, copies: int = 1
    ) -> Rerun:
        left, ids = self.prompt.length - tokens, self.prompt.repeated(copies).position_ids
        layers = {layer: self.layers[layer][:, left:].repeat(copies, 1, 1)}
        functions = {name: lambda name, activation: edits[name](activation) for name in edits}
        with attached(self.model, functions):
            for below in range(layer, self.n_layers):
                before = self.layers[below][:, :left].repeat(copies, 1, 1)
                stream = torch.cat([before, layers[below]], dim=1)
                step = {"start_at_layer": below, "stop_at_layer": below + 1}
                layers[below + 1] = self.model(stream, ids, **step, only=slice(left, None))
        outputs = self.model(layers[self.n_layers], start_at_layer=self.n_layers)
        return Rerun(layers, outputs)

    def _next(self, layer: int, residual: Tensor, left: int) -> Tensor:
        """The stream one layer on, of the tokens from position `left` on."""
        step = {"start_at_layer": layer, "stop_at_layer": layer + 1}
        only = slice(left, None) if left else None
        return self.model(residual, self.prompt.position_ids, **step, only=only)


def _predictions(
    answers: Answers, outputs: Float[Tensor, "batch position d_out"]
) -> Float[Tensor, "batch answer d_y"]:
    return answers.predictions(outputs[:, answers.only])
