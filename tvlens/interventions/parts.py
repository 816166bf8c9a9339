"""The parts of a model that write into its residual stream: attention heads and MLPs.

Parts are found by TransformerLens's hook names: `blocks.{l}.attn.hook_z` ("batch position head
d_head") for heads, and `blocks.{l}.hook_mlp_out` ("batch position d_model") for MLPs, which a model
may lack.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.interventions.hooks import Edit, check_hook_points
from tvlens.interventions.patching import count_layers


@dataclass(frozen=True)
class Part:
    """An attention head or an MLP, numbered as in TransformerLens: blocks and heads from 0."""

    block: int
    """It leads from layer `block` to layer `block + 1`."""
    head: int | None = None
    """Which head of the block; None is the MLP."""

    @property
    def hook_name(self) -> str:
        """The hook point that sees what the part puts out."""
        name = "hook_mlp_out" if self.head is None else "attn.hook_z"
        return f"blocks.{self.block}.{name}"

    def __str__(self) -> str:
        return f"L{self.block} MLP" if self.head is None else f"L{self.block}H{self.head}"


@runtime_checkable
class HeadWeights(Protocol):
    """Attention that tells how its heads write, under TransformerLens's names.

    It adds to the residual stream the sum over heads of z[head] @ W_O[head], and b_O.
    """

    @property
    def W_O(self) -> Tensor:
        """Output weights of each head, "head d_head d_model"."""
        ...

    @property
    def b_O(self) -> Tensor | None:
        """What is added whatever the heads see, "d_model"; None is nothing."""
        ...


def part_names(model: HookedRootModule) -> list[str]:
    """The hook points of all heads and MLPs.

    Raises:
        InputError: the heads of a block have no hook point.
    """
    blocks = range(count_layers(model))
    check_hook_points(model, [Part(block, 0).hook_name for block in blocks])
    names = [part.hook_name for block in blocks for part in (Part(block, 0), Part(block))]
    return [name for name in names if name in model.hook_dict]


def list_parts(outputs: Mapping[str, Tensor]) -> list[Part]:
    """All heads and MLPs, block by block, from what they put out at `part_names`."""
    parts: list[Part] = []
    for name, output in outputs.items():
        block = int(name.split(".")[1])
        is_mlp = name == Part(block).hook_name
        heads = [None] if is_mlp else range(output.shape[2])
        parts += [Part(block, head) for head in heads]
    return sorted(parts, key=lambda part: (part.block, part.head is None, part.head))


def kind_of(label: str) -> str:
    """What a label such as "L0H3", "L0 MLP", "L0 bias" or "embedding" names: head, MLP, .."""
    _, _, kind = label.partition(" ")
    return kind or ("head" if label.startswith("L") else label)


def head_weights(model: HookedRootModule, block: int) -> HeadWeights:
    """How the heads of a block write into the residual stream.

    Raises:
        InputError: the model does not tell.
    """
    blocks = cast(nn.ModuleList | None, getattr(model, "blocks", None))
    attention = None if blocks is None else getattr(blocks[block], "attn", None)
    if not isinstance(attention, HeadWeights):
        raise InputError(
            f"The attention of block {block} of this {type(model).__name__} does not tell how its "
            f"heads write. Give `blocks[{block}].attn` the properties W_O (head, d_head, "
            "d_model) and b_O (d_model), as TransformerLens's attention has them."
        )
    return attention


def swapped(
    groups: Sequence[Collection[Part]],
    values: Mapping[str, Float[Tensor, "#batch position ..."]],
    positions: Sequence[int],
) -> dict[str, Edit]:
    """Edits of a prompt that is repeated once for each group, "(copy batch)": in copy i, the parts
    of group i put out `values` at some positions.

    Args:
        groups: parts that are changed together.
        values: what parts put out instead, by hook name; for one row, or for each of the prompt.
        positions: where; all must be among the tokens that run.
    """

    def edit_of(name: str) -> Edit:
        value = values[name]

        def edit(output: Tensor) -> Tensor:
            copies = output.unflatten(0, (len(groups), -1))
            left = value.shape[1] - output.shape[1]  # Where only the last tokens run.
            where = [position - left for position in positions]
            chosen = torch.zeros(
                (len(groups), 1, *output.shape[1:-1], 1), dtype=torch.bool, device=output.device
            )
            for copy, group in enumerate(groups):
                for part in group:
                    if part.hook_name == name:
                        head = () if part.head is None else (part.head,)
                        chosen[(copy, 0, where, *head)] = True
            return torch.where(chosen, value[:, left:].to(output), copies).flatten(0, 1)

        return edit

    names = dict.fromkeys(part.hook_name for group in groups for part in group)
    return {name: edit_of(name) for name in names}
