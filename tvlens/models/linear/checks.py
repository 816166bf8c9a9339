"""Several linear transformers that are asked together."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import fields

from tvlens.base.errors import InputError
from tvlens.models.linear.transformer import LinearTransformer


def check_linear(models: Sequence[object]) -> None:
    """Raise InputError unless all models are linear transformers."""
    others = {type(each).__name__ for each in models if not isinstance(each, LinearTransformer)}
    if others:
        raise InputError(
            f"Expected linear transformers, got a {' and a '.join(sorted(others))}. Take the "
            '`model` of runs that `load_seeds` gives: `load_seeds("triplet-2x5")`.'
        )


def check_seeds(kinds: Iterable[tuple[Hashable, LinearTransformer]]) -> None:
    """Raise InputError unless models of one kind have one config, and so may differ in their seed
    only.
    """
    first: dict[Hashable, LinearTransformer] = {}
    for kind, model in kinds:
        one, other = first.setdefault(kind, model).config, model.config
        different = [
            f"{each.name} of {getattr(one, each.name)} and of {getattr(other, each.name)}"
            for each in fields(one)
            if getattr(one, each.name) != getattr(other, each.name)
        ]
        if different:
            raise InputError(
                f"Expected models of {kind} that differ in nothing but their seed, got "
                f"{'; '.join(different)}. Measure each config by a call of its own."
            )
