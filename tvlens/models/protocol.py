"""What a model is to tvlens: hook points, a call, and what it says of itself."""

from typing import Any

from tvlens.base.errors import InputError


def is_causal(model: Any) -> bool:
    """Whether a model says that no token sees those to the right of it (`model.causal`)."""
    return getattr(model, "causal", False) is True


def max_tokens(model: Any) -> int | None:
    """How many tokens a prompt of a model may have (`model.max_tokens`); None if it does not say,
    or if there is no limit.
    """
    return getattr(model, "max_tokens", None)


def check_causal(model: Any, what: str) -> None:
    """Raise InputError unless a model says that it is causal.

    Args:
        what: what needs it, as the beginning of a sentence.
    """
    if not is_causal(model):
        raise InputError(
            f"{what} needs a causal model, and this {type(model).__name__} does not say that it is "
            "one. If no token of it sees those to the right, set `causal = True` on its class."
        )
