"""Which entries of D can change what a model says at all."""

import torch
from jaxtyping import Bool
from torch import Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import INSEPARABLE, ColumnFormat, Role


def live_positions(
    format: ColumnFormat, examples: int, layer: int, n_layers: int
) -> Bool[Tensor, "source destination"]:
    """Entries of D of a layer whose gradient is not 0 whatever the weights and prompts.

    Dead are the row of the last token, which nobody sees; all columns but the last in the last
    layer, where only the last token is read; in the first layer the rows of tokens that are still
    empty; and where it is the only one, those of tokens whose y half is. The first layer on
    `INSEPARABLE` demonstrations is taken to be that of Theorem 7, which lifts x and has no other
    sources. Decay alone ever moves dead entries, so compare D with theory on the live ones.

    Args:
        format: how examples become tokens.
        examples: the n of the prompts.
        layer: which block, counted from 1, as the layer its output is.
        n_layers: number of blocks.

    Raises:
        InputError: the format has no D, or there is no such block or model.
    """
    lifts = format == INSEPARABLE
    if not format.ordered or not 1 <= layer <= n_layers or n_layers < 1 + lifts:
        raise InputError(
            f"There is no D of block {layer} in a model of {n_layers} for {format.name} "
            "demonstrations; blocks count from 1, SINGLE has no positions, and INSEPARABLE needs "
            "a block beside the one that lifts x."
        )
    tokens = format.n_tokens(examples + 1)
    live = torch.ones(tokens, tokens, dtype=torch.bool)
    live[-1] = False
    if layer == n_layers:
        live[:, :-1] = False
    if layer == 1 and Role.ARROW in format.roles:
        live[format.tokens(Role.ARROW, examples + 1)] = False
    if layer == 1 and lifts:
        live[format.tokens(Role.Y, examples + 1)] = False
    if n_layers == 1:
        live[format.tokens(Role.X, examples + 1)] = False
    return live
