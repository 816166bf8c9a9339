"""A pretrained language model, as TransformerLens's bridge shows it."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule


class LanguageModel(HookedRootModule):
    """A causal language model from token ids to logits, with TransformerLens's hook points.

    Layer l means a boundary of the residual stream, as in `HookedTransformer`.
    """

    causal = True
    """No token sees those to the right of it."""

    def __init__(self, bridge: Any) -> None:
        """Wrap a model.

        Args:
            bridge: a `TransformerBridge`, as `TransformerBridge.boot_transformers` makes it.
        """
        super().__init__()
        self.bridge = bridge
        self.setup()
        self.hook_dict = bridge.hook_dict

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.bridge.cfg.n_layers

    @property
    def max_tokens(self) -> int:
        """Tokens that the model has learned positions for."""
        return self.bridge.cfg.n_ctx

    @property
    def blocks(self) -> Any:
        """The blocks, as TransformerLens names their parts."""
        return self.bridge.blocks

    def forward(
        self,
        inputs: Int[Tensor, "batch position"],
        position_ids: Int[Tensor, "#batch position"] | None = None,
    ) -> Float[Tensor, "batch position d_vocab"]:
        """The logits at every token; padding on the right changes none of the others."""
        options = {} if position_ids is None else {"position_ids": position_ids}
        return self.bridge(inputs, return_type="logits", **options)
