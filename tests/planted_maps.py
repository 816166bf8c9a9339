"""A planted model of maps between symbols, whose carrier holds a whole map, or one answer of it."""

from typing import cast

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.prompts import ARROW, Role


class PlantedMapsBlock(nn.Module):
    """Adds at every arrow the map of the examples before it, or its answer to the x before it."""

    def __init__(self, size: int, learns: bool, answers: bool) -> None:
        super().__init__()
        self.size, self.learns, self.answers = size, learns, answers
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """The residual stream after this block."""
        residual = self.hook_resid_pre(residual).clone()
        size, maps = self.size, slice(-(self.size**2) - self.size, -self.size)
        for position, role in enumerate(tokens):
            if role is not Role.ARROW:
                continue
            if self.learns:
                ys = [i for i, each in enumerate(tokens[:position]) if each is Role.Y]
                y, x = residual[:, ys, :size], residual[:, [i - 2 for i in ys], size : 2 * size]
                seen = torch.einsum("bsx,bsy->bxy", x, y).clamp_max(1.0)
                residual[:, position, maps] = seen.flatten(1)
            if self.answers:
                x = residual[:, position - 1, size : 2 * size]
                known = residual[:, position, maps].unflatten(1, (size, size))
                residual[:, position, -size:] = torch.einsum("bx,bxy->by", x, known)
        return self.hook_resid_post(residual)


class PlantedMaps(HookedRootModule):
    """Residual stream: the inputs, slots for the map, slots for an answer; format `ARROW`.

    From layer `learn_layer` on the vector serves every item that was seen, and from `answer_layer`
    on that of its own query alone.
    """

    causal = True

    def __init__(self, size: int, learn_layer: int, answer_layer: int, n_layers: int = 2) -> None:
        super().__init__()
        self.size = size
        self.blocks = nn.ModuleList(
            PlantedMapsBlock(size, learns=layer == learn_layer, answers=layer == answer_layer)
            for layer in range(1, n_layers + 1)
        )
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The answer slots of every token."""
        shown = inputs[0, :, -len(ARROW.roles) :].argmax(-1)
        tokens = [ARROW.roles[index] for index in shown.tolist()]
        slots = inputs.new_zeros(*inputs.shape[:2], self.size**2 + self.size)
        residual = torch.cat([inputs, slots], dim=-1)
        for block in self.blocks:
            residual = cast(Tensor, block(residual, tokens))
        return residual[..., -self.size :]
