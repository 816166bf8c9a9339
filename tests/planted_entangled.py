"""A planted model whose vector also holds some of its context, in a known amount."""

from torch import Tensor, nn

from tests.planted import PlantedBlock, PlantedModel
from tvlens.prompts import Role


def entangled_model(
    n_layers: int, learn_layer: int, answer_layer: int, d: int, leak: float
) -> PlantedModel:
    """As `planted_model`, but the weights at z are w + leak times the last x before it.

    For x ~ N(0, I) that is w with context noise of variance leak^2 in each component.
    """
    model = PlantedModel(n_layers, learn_layer, answer_layer, d)
    model.blocks = nn.ModuleList(
        EntangledBlock(d, learns=each.learns, answers=each.answers, leak=leak)
        for each in model.blocks
        if isinstance(each, PlantedBlock)
    )
    model.setup()
    return model


class EntangledBlock(PlantedBlock):
    """Where it learns, it adds some of the last x to the weights."""

    def __init__(self, d: int, learns: bool, answers: bool, leak: float) -> None:
        super().__init__(d, learns, answers)
        self.leak = leak

    def forward(self, residual: Tensor, tokens: list[Role]) -> Tensor:
        """The residual stream after this block."""
        after = super().forward(residual, tokens)
        if not self.learns:
            return after
        leaked = after.clone()
        for position, role in enumerate(tokens):
            xs = [i for i, each in enumerate(tokens[:position]) if each is Role.X]
            if role is Role.Z and xs:
                x = residual[:, xs[-1], 1 : self.d + 1]
                leaked[:, position, -self.d - 1 : -1] += self.leak * x
        return leaked
