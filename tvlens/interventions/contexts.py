"""Contexts of every length: what a model makes of n = 0, 1, .. examples.

A causal model runs all lengths in one pass, where a shorter context is the beginning of a longer
one. Otherwise each length takes a pass of its own, which is the definition; tests hold both equal.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.interventions.patching import Site
from tvlens.interventions.residual_stream import ResidualStream, residual_stream
from tvlens.models.protocol import is_causal
from tvlens.prompts import Episodes, Format, Role


class Contexts:
    """The residual streams of all contexts of some episodes, and the answers to them."""

    def __init__(self, model: HookedRootModule, format: Format, episodes: Episodes) -> None:
        """Run the contexts.

        Args:
            model: any model.
            format: how examples become a prompt.
            episodes: example n + 1 is asked after n examples.
        """
        one_pass = format.prefixes and is_causal(model)
        shortest = episodes.shots if one_pass else 1
        self._format, self._one_pass = format, one_pass
        self._streams = [
            residual_stream(model, format.context(episodes.some_shots(slice(shots))))
            for shots in range(shortest, episodes.shots + 1)
        ]

    @property
    def longest(self) -> ResidualStream:
        """The stream of the context of all examples."""
        return self._streams[-1]

    @property
    def n_layers(self) -> int:
        """Number of blocks, which is the last layer."""
        return self.longest.n_layers

    def vectors(self, layer: int, role: Role) -> Float[Tensor, "batch length d_model"]:
        """The residual stream at the last token of a role before each answer.

        The context lengths are those from `format.first_length(role)` on.
        """
        if self._one_pass:
            return self.longest.read(Site(layer, role))
        having = self._streams[self._format.first_length(role) :]
        return torch.cat([each.read(Site(layer, role, -1)) for each in having], dim=1)

    def answers(self) -> Float[Tensor, "batch length d_y"]:
        """The predictions after 0, 1, .. examples."""
        if self._one_pass:
            return self.longest.answers()
        return torch.stack([each.answer() for each in self._streams], dim=1)
