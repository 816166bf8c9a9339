"""A model whose attention puts examples together in one block, and makes a vector in another."""

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.prompts import Role, TokenFormat

Y, X, PRODUCT, MEAN, ANSWER = 0, 1, -3, -2, -1
"""Slots of the residual stream; between them are the slots of roles."""


class FlowModel(HookedRootModule):
    """Answers with a weighted mean of all x y it has seen; d_x = d_y = 1, one head, float64.

    In block `concat` each y looks at its own x, and keeps the product. In block `form` each carrier
    looks at all y before it, and keeps the weighted mean of their products. In the last block each
    answer token looks at the last carrier, if it is another token, and answers what that keeps. All
    else looks at itself, and writes nothing.
    """

    causal = True

    def __init__(
        self, format: TokenFormat, blocks: int, concat: int, form: int, weights: list[float]
    ) -> None:
        super().__init__()
        self.format = format
        jobs = {concat: Concat(), form: Form(format, weights), blocks - 1: Answer(format)}
        self.blocks = nn.ModuleList(jobs.get(b, FlowBlock()) for b in range(blocks))
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The answer slot of every token."""
        shown = inputs[0, :, -len(self.format.roles) :].argmax(-1)
        tokens = [self.format.roles[index] for index in shown.tolist()]
        slots = inputs.new_zeros(*inputs.shape[:2], 3)
        residual = torch.cat([inputs, slots], dim=-1).double()
        for block in self.blocks:
            residual = block(residual, tokens)
        return residual[..., [ANSWER]]


class FlowAttention(nn.Module):
    """Has the hook point of the pattern, under its name."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_pattern = HookPoint()


class FlowBlock(nn.Module):
    """Attention of one head on the token itself, which writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = FlowAttention()
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """The residual stream after this block."""
        residual = self.hook_resid_pre(residual)
        pattern = torch.eye(len(tokens), dtype=residual.dtype)
        for query in range(len(tokens)):
            for key, share in self.looks(tokens, query).items():
                pattern[query, query] = 0
                pattern[query, key] = share
        pattern = pattern.expand(len(residual), 1, -1, -1)
        looked = self.attn.hook_pattern(pattern)[:, 0] @ residual
        at = torch.tensor([bool(self.looks(tokens, query)) for query in range(len(tokens))])
        return self.hook_resid_post(residual + at[:, None] * self.written(residual, looked))

    def looks(self, tokens: list[Role], query: int) -> dict[int, float]:
        """Where a token looks, and how much; nothing for itself."""
        return {}

    def written(self, residual: Tensor, looked: Tensor) -> Tensor:
        """What tokens that look elsewhere write."""
        return 0 * looked


class Concat(FlowBlock):
    """Each y looks at its own x."""

    def looks(self, tokens: list[Role], query: int) -> dict[int, float]:
        if tokens[query] is not Role.Y:
            return {}
        return {before(tokens, query, Role.X)[-1]: 1.0}

    def written(self, residual: Tensor, looked: Tensor) -> Tensor:
        return in_slot(residual, PRODUCT, looked[..., X] * residual[..., Y])


class Form(FlowBlock):
    """Each carrier looks at all y before it."""

    def __init__(self, format: TokenFormat, weights: list[float]) -> None:
        super().__init__()
        self.format, self.weights = format, weights

    def looks(self, tokens: list[Role], query: int) -> dict[int, float]:
        ys = before(tokens, query, Role.Y)
        if tokens[query] is not self.format.carrier:
            return {}
        weights = self.weights[: len(ys)]
        return {y: each / sum(weights) for y, each in zip(ys, weights, strict=True)}

    def written(self, residual: Tensor, looked: Tensor) -> Tensor:
        slot = ANSWER if self.format.carrier is self.format.answer else MEAN
        return in_slot(residual, slot, looked[..., PRODUCT])


class Answer(FlowBlock):
    """Each answer token looks at the last carrier."""

    def __init__(self, format: TokenFormat) -> None:
        super().__init__()
        self.format = format

    def looks(self, tokens: list[Role], query: int) -> dict[int, float]:
        carriers = before(tokens, query, self.format.carrier)
        if tokens[query] is not self.format.answer or not carriers:
            return {}
        return {} if self.format.carrier is self.format.answer else {carriers[-1]: 1.0}

    def written(self, residual: Tensor, looked: Tensor) -> Tensor:
        return in_slot(residual, ANSWER, looked[..., MEAN])


def before(tokens: list[Role], query: int, role: Role) -> list[int]:
    """Where tokens of a role stand to the left."""
    return [key for key in range(query) if tokens[key] is role]


def in_slot(residual: Tensor, slot: int, values: Tensor) -> Tensor:
    """Zeros, but for one slot."""
    result = torch.zeros_like(residual)
    result[..., slot] = values
    return result
