"""What training asks for: the losses of a batch, and what of them is random.

Random draws stand apart from the losses, which can be compiled and mapped over seeds.
"""

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.models.protocol import ModelConfig
from tvlens.prompts import Episodes, Format
from tvlens.tasks import Task

Draws = dict[str, Tensor]
"""All that is random in a step beside its episodes, by names that the objective knows."""


class Losses(NamedTuple):
    """Mean losses of a batch, divided by the task's scale; `tvp` is nan without a TVP loss.

    Several seeds that train at once have a loss each.
    """

    total: Float[Tensor, "*seed"]
    icl: Float[Tensor, "*seed"]
    tvp: Float[Tensor, "*seed"]


@runtime_checkable
class Objective(Protocol):
    """What is minimised."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    """It is a frozen dataclass."""

    @property
    def prescribed_layer(self) -> int | None:
        """The layer at which a task vector is trained to be; None if none is."""
        ...

    def check(self, format: Format, model: ModelConfig) -> None:
        """Raise InputError if it makes no sense for a format or a model."""
        ...

    def draw(
        self, model: Any, task: Task, format: Format, episodes: Episodes, *, generator: Generator
    ) -> Draws:
        """Draw all that is random in a step.

        Args:
            generator: on the episodes' device.
        """
        ...

    def losses(
        self,
        model: Any,
        task: Task,
        format: Format,
        episodes: Episodes,
        draws: Draws,
        *,
        step: int,
    ) -> Losses:
        """The losses of a batch, after a number of steps."""
        ...
