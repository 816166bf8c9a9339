"""A model that holds its task vector where we put it, so that every analysis has a right answer."""

from typing import cast

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.prompts import ZXY, Role


def planted_model(n_layers: int, learn_layer: int, answer_layer: int, d: int) -> "PlantedModel":
    """A model that solves linear regression in format `ZXY` by a task vector at z.

    The block that leads to layer `learn_layer` writes at every z the least-squares weights of the
    pairs before it, and the one that leads to `answer_layer` reads them at the next x. So z carries
    the task at the layers `range(learn_layer, answer_layer)` and at no others: a vector read below
    holds no weights yet, and one written above comes too late.
    """
    if not 1 <= learn_layer < answer_layer <= n_layers:
        raise ValueError("needs 1 <= learn_layer < answer_layer <= n_layers")
    return PlantedModel(n_layers, learn_layer, answer_layer, d)


class PlantedBlock(nn.Module):
    """Adds weights at z, an answer at x, or nothing. Which token is which, the prompt decides."""

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
            before = list(enumerate(tokens[:position]))
            zs, xs, ys = ([i for i, each in before if each is r] for r in ZXY.shot)
            if self.learns and role is Role.Z:
                weights = torch.linalg.pinv(x[:, xs]) @ y[:, ys]
                update[:, position, -self.d - 1 : -1] = weights.squeeze(-1)
            if self.answers and role is Role.X:
                update[:, position, -1] = (w[:, zs[-1]] * x[:, position]).sum(-1)
        return self.hook_resid_post(residual + update)


class PlantedModel(HookedRootModule):
    """Residual stream: the inputs, d slots for the weights, one slot for the answer; float64."""

    causal = True

    block: type[nn.Module] = PlantedBlock
    roles: tuple[Role, ...] = ZXY.roles

    def __init__(self, n_layers: int, learn_layer: int, answer_layer: int, d: int) -> None:
        super().__init__()
        self.d = d
        self.blocks = nn.ModuleList(
            self.block(d, learns=layer == learn_layer, answers=layer == answer_layer)
            for layer in range(1, n_layers + 1)
        )
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The answer slot of every token."""
        shown = inputs[0, :, -len(self.roles) :].argmax(-1)
        tokens = [self.roles[index] for index in shown.tolist()]
        slots = inputs.new_zeros(*inputs.shape[:2], self.d + 1)
        residual = torch.cat([inputs, slots], dim=-1).double()
        for block in self.blocks:
            residual = cast(Tensor, block(residual, tokens))
        return residual[..., -1:]
