"""A model of attention heads alone, of which two do all the work, so that it is known which."""

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.prompts import ZXY, Role

HEADS = 3
Y, X, MEMORY, ANSWER = 0, 1, 5, 6
"""Slots of the residual stream; between them are the slots of roles."""


class CopyModel(HookedRootModule):
    """Answers in format `ZXY` with the last y it has seen; d_x = d_y = 1, float64.

    L0H0 copies the y before a z into the memory of that z, and L1H1 the memory of that z
    into the answer of the x behind it. The other heads look at their own token, put out its x, and
    write nothing.
    """

    causal = True

    def __init__(self) -> None:
        super().__init__()
        copy_y = CopyBlock(head=0, source=Y, target=MEMORY, looks=Role.Z, at=Role.Y)
        answer = CopyBlock(head=1, source=MEMORY, target=ANSWER, looks=Role.X, at=Role.Z)
        self.blocks = nn.ModuleList([copy_y, answer])
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The answer slot of every token."""
        shown = inputs[0, :, -len(ZXY.roles) :].argmax(-1)
        tokens = [ZXY.roles[index] for index in shown.tolist()]
        slots = inputs.new_zeros(*inputs.shape[:2], 2)
        residual = torch.cat([inputs, slots], dim=-1).double()
        for block in self.blocks:
            residual = block(residual, tokens)
        return residual[..., ANSWER:]


class CopyBlock(nn.Module):
    """One head copies a slot of the token before, for tokens of one role; no MLP."""

    def __init__(self, head: int, source: int, target: int, looks: Role, at: Role) -> None:
        super().__init__()
        self.attn = CopyAttention(head, source, target, looks, at)
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """The residual stream after this block."""
        residual = self.hook_resid_pre(residual)
        return self.hook_resid_post(residual + self.attn(residual, tokens))


class CopyAttention(nn.Module):
    """Attention whose pattern is decided by the roles of tokens; heads of width 1."""

    def __init__(self, head: int, source: int, target: int, looks: Role, at: Role) -> None:
        super().__init__()
        self.head, self.looks, self.at = head, looks, at
        self.slots = [source if each == head else X for each in range(HEADS)]
        self.W_O = torch.zeros(HEADS, 1, ANSWER + 1, dtype=torch.float64)
        self.W_O[head, 0, target] = 1
        self.b_O = torch.zeros(ANSWER + 1, dtype=torch.float64)
        self.hook_pattern, self.hook_z = HookPoint(), HookPoint()

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """What the heads add to the stream."""
        pattern = torch.eye(len(tokens), dtype=residual.dtype).repeat(HEADS, 1, 1)
        for query, role in enumerate(tokens[1:], start=1):
            if role is self.looks and tokens[query - 1] is self.at:
                pattern[self.head, query] = pattern[self.head, query].roll(-1)
        pattern = self.hook_pattern(pattern.expand(len(residual), -1, -1, -1))
        value = residual[..., self.slots].unsqueeze(-1)
        z = self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, value))
        return torch.einsum("bqhd,hdm->bqm", z, self.W_O) + self.b_O
