"""A planted model in format `ARROW`, whose carrier comes to hold the answer to its own query."""

import torch
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from tests.planted import PlantedModel
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


class PlantedArrowModel(PlantedModel):
    """The planted model in format `ARROW`.

    The arrow holds the least-squares weights from layer `learn_layer` on, and the answer to its own
    query from layer `answer_layer` on.
    """

    block = PlantedArrowBlock
    roles = ARROW.roles
