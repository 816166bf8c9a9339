"""What a model is to tvlens: hook points, a call, and whether attention is causal."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from tvlens.base.errors import InputError


@runtime_checkable
class Model(Protocol):
    """A transformer whose residual stream can be read and written.

    Any `HookedRootModule` of TransformerLens will do that names its residual stream
    `blocks.{l}.hook_resid_pre` and `blocks.{l}.hook_resid_post`. Heads and MLPs that are asked for
    are called as TransformerLens calls them.
    """

    @property
    def hook_dict(self) -> dict[str, Any]:
        """The hook points by name."""
        ...

    @property
    def causal(self) -> bool:
        """Whether no token sees those to the right of it. A model without this attribute counts as
        one that looks both ways.
        """
        ...

    def __call__(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """The outputs at every token, "batch position d_out"."""
        ...


def is_causal(model: Any) -> bool:
    """Whether a model says that no token sees those to the right of it (`model.causal`)."""
    return getattr(model, "causal", False) is True


def check_causal(model: Any, what: str) -> None:
    """Raise InputError unless a model says that it is causal.

    Args:
        model: any model.
        what: what needs it, as the beginning of a sentence.
    """
    if not is_causal(model):
        raise InputError(
            f"{what} needs a causal model, and this {type(model).__name__} does not say that it is "
            "one. If no token of it sees those to the right, set `causal = True` on its class."
        )
