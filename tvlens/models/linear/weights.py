"""The weights of structured linear transformers, as theory speaks of them."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from tvlens import theory
from tvlens.base.errors import InputError
from tvlens.models import LinearTransformer
from tvlens.models.linear.attention import StructuredAttention
from tvlens.models.linear.checks import check_linear
from tvlens.prompts import PAIRWISE, TRIPLET, ColumnFormat, Role


def structured_layers(model: LinearTransformer) -> list[StructuredAttention]:
    """The layers of a model that has A, B, C and D.

    Raises:
        InputError: its weights are unconstrained, or x and y have no tokens of their own.
    """
    layers = [block.attn for block in model.blocks]
    found = [each for each in layers if isinstance(each, StructuredAttention)]
    formats = (PAIRWISE, TRIPLET)
    if len(found) < len(layers) or model.format not in formats:
        raise InputError(
            f"This model reads {model.format.name} demonstrations with {model.config.weights} "
            "weights; theory says where A, B, C and D go of structured weights, and of PAIRWISE "
            "and TRIPLET demonstrations."
        )
    return found


def check_alike(models: Sequence[LinearTransformer]) -> None:
    """Raise InputError unless the models differ in their weights only."""
    check_linear(models)
    kinds = {(each.config, each.d, each.format, each.examples) for each in models}
    if len(kinds) != 1:
        raise InputError(
            f"Expected models of one kind, which differ in their seed, got {len(kinds)} kinds: "
            f"{', '.join(map(str, kinds)) or 'no model'}."
        )


def live_entries(model: LinearTransformer, layer: int) -> Bool[Tensor, "source destination"]:
    """Entries of D that matter: `theory.live_positions`, and of a causal model those that look
    back.

    Args:
        layer: counted from 1.
    """
    live = theory.live_positions(model.format, model.examples, layer, model.n_layers)
    return live.triu() if model.config.causal else live


def live_bias(model: LinearTransformer, layer: int) -> Float[Tensor, "source destination"]:
    """D of a layer, counted from 1, in float64 on the CPU; dead entries are 0."""
    D = structured_layers(model)[layer - 1].D.detach().cpu().double()
    return D * live_entries(model, layer)


def nearest_structure(
    D: Float[Tensor, "position position"], format: ColumnFormat
) -> Float[Tensor, "position position"]:
    """The point of S_P that is nearest to D, task vectors included where there are arrows."""
    if Role.ARROW in format.roles:
        return theory.project_task_vectors(D)
    return theory.project_exchangeable(D, format)
