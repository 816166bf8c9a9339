"""Several linear transformers that are asked together."""

from collections.abc import Sequence

from tvlens.errors import InputError
from tvlens.models.linear_transformer import LinearTransformer


def check_linear(models: Sequence[object]) -> None:
    """Raise InputError unless all models are linear transformers."""
    others = {type(each).__name__ for each in models if not isinstance(each, LinearTransformer)}
    if others:
        raise InputError(
            f"Expected linear transformers, got a {' and a '.join(sorted(others))}. Take the "
            "`model` of runs that `load_pretrained_linear` or `load_linear_run` give."
        )
