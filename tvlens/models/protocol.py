"""What a model is to tvlens: hook points, a call, whether it is causal, and what builds it."""

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Generator, nn

from tvlens.base.errors import InputError
from tvlens.prompts import Format
from tvlens.tasks import Task


@runtime_checkable
class ModelConfig(Protocol):
    """Size and kind of a model, as data."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    """It is a frozen dataclass."""

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        ...

    def check(self, task: Task, format: Format) -> None:
        """Raise InputError unless the model reads such prompts of such a task."""
        ...

    def build(
        self,
        task: Task,
        format: Format,
        examples: int,
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Any:
        """A model with fresh weights.

        Args:
            task: gives the widths of x and y.
            format: how examples become prompts.
            examples: of the longest context.
            generator: source of the initial weights, on the CPU so that a seed means the same on
                every device; PyTorch's global one if None.
            device: where the model is created.
            dtype: of all weights.
        """
        ...


def is_causal(model: Any) -> bool:
    """Whether a model says that no token sees those to the right of it (`model.causal`)."""
    return getattr(model, "causal", False) is True


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


def matrices_of(model: nn.Module) -> list[str]:
    """Names of the weights that Muon may orthogonalise (`model.matrices`).

    Raises:
        InputError: the model does not say.
    """
    names = getattr(model, "matrices", None)
    if names is None:
        raise InputError(
            f"Muon moves matrices, and this {type(model).__name__} does not say which of its "
            "weights are any. Give it an attribute `matrices` with their names, or take Adam."
        )
    return list(names)
