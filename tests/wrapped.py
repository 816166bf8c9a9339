"""A model behind another class, so that nothing can be known of it but its hook points."""

from typing import Any

from torch import Tensor
from transformer_lens import HookedRootModule

from tvlens.models import HookedTransformer
from tvlens.models.bridge import to_bridge


class Wrapped(HookedRootModule):
    """Runs another model, and has its hook points under their names."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.setup()
        self.hook_dict = model.hook_dict

    @property
    def blocks(self) -> Any:
        """The blocks of the model."""
        return self.model.blocks

    @property
    def causal(self) -> bool:
        """What the model says; a bridge of TransformerLens has it in its config."""
        return getattr(self.model, "causal", True)

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """What the model gives."""
        return self.model(inputs, position_ids)


class Bridged(Wrapped):
    """TransformerLens's own model with the weights of one of ours."""

    def __init__(self, model: HookedTransformer) -> None:
        super().__init__(to_bridge(model))
        self.embedding = model.W_E

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """What the bridge gives; it takes vectors as embedded."""
        return self.model(inputs @ self.embedding, position_ids=position_ids)
