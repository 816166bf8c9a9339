"""A planted model in format `ARROW`, whose carrier comes to hold the answer to its own query."""

from typing import cast

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.prompts import ARROW, Role


class PlantedArrowBlock(nn.Module):
    """Adds weights at the arrow, or the answer from them and the x before it, or nothing."""

    def __init__(self, d: int, learns: bool, answers: bool) -> None:
        super().__init__()
        self.d, self.learns, self.answers = d, learns, answers
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """The residual stream after this block."""
        residual = self.hook_resid_pre(residual)
        y, x, w = residual[..., :1], residual[..., 1 : self.d + 1], residual[..., -self.d - 1 : -1]
        update = torch.zeros_like(residual)
        for position, role in enumerate(tokens):
            if role is Role.ARROW and self.learns:
                ys = [i for i, each in enumerate(tokens[:position]) if each is Role.Y]
                xs = [i - 2 for i in ys]
                weights = torch.linalg.pinv(x[:, xs]) @ y[:, ys]
                update[:, position, -self.d - 1 : -1] = weights.squeeze(-1)
            if role is Role.ARROW and self.answers:
                update[:, position, -1] = (w[:, position] * x[:, position - 1]).sum(-1)
        return self.hook_resid_post(residual + update)


class PlantedArrowModel(HookedRootModule):
    """Residual stream: the inputs, d slots for the weights, one slot for the answer; float64.

    Blocks are counted from 1. The arrow holds the least-squares weights from layer `learn_block`
    on, and the answer to its own query from layer `answer_block` on.
    """

    def __init__(self, n_layers: int, learn_block: int, answer_block: int, d: int) -> None:
        super().__init__()
        self.d = d
        self.blocks = nn.ModuleList(
            PlantedArrowBlock(d, learns=block == learn_block, answers=block == answer_block)
            for block in range(1, n_layers + 1)
        )
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The answer slot of every token."""
        shown = inputs[0, :, -len(ARROW.roles) :].argmax(-1)
        tokens = [ARROW.roles[index] for index in shown.tolist()]
        slots = inputs.new_zeros(*inputs.shape[:2], self.d + 1)
        residual = torch.cat([inputs, slots], dim=-1).double()
        for block in self.blocks:
            residual = cast(Tensor, block(residual, tokens))
        return residual[..., -1:]
