"""Answering without most of the context: above a layer only the last tokens run.

This is the path that saves time and memory. What it costs in quality is a question for
`tvlens.analysis.pruning`, which asks any model; tests hold both equal.
"""

from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.models import HookedTransformer
from tvlens.models.protocol import check_causal
from tvlens.prompts import Prompt


def pruned_answers(
    model: HookedRootModule, prompt: Prompt, layer: int, kept: int
) -> Float[Tensor, "batch d_out"]:
    """Answers at the last token when, above a layer, the model sees only the last tokens.

    Up to `layer` all tokens run, and of the last of these blocks only what the kept tokens need:
    the others give their keys and values and do not attend. Above it the kept tokens run by
    themselves, at the positions that they have in the prompt. Nothing is computed of the others
    there, so incremental decoding would hold no keys and values of them (`cached_tokens` in
    `tvlens.results` counts those that are left).

    Args:
        model: a `HookedTransformer`.
        layer: the last layer that the whole prompt reaches: at 0 the answer is that of a prompt of
            the kept tokens, at the model's last layer that of the whole prompt.
        kept: how many of the last tokens run on: `len(format.query)` for carrier and query.

    Raises:
        InputError: a model that cannot skip blocks, a layer that it does not have, more tokens than
            there are, or a prompt that is longer than a learned position table.
    """
    if not isinstance(model, HookedTransformer):
        raise InputError(
            f"Skipping blocks needs a HookedTransformer, got {type(model).__name__}. What pruning "
            "costs in quality, tvlens.analysis.pruning measures for any model."
        )
    check_causal(model, "Skipping blocks")
    if not 1 <= kept <= prompt.length:
        raise InputError(
            f"Cannot keep the last {kept} of {prompt.length} tokens; give 1 to "
            f"{prompt.length}, such as len(format.query)."
        )
    last, ids = slice(-kept, None), prompt.position_ids
    residual = model(prompt.inputs, ids, stop_at_layer=layer, only=last)
    return model(residual, ids[:, last], start_at_layer=layer, only=slice(-1, None))[:, 0]
