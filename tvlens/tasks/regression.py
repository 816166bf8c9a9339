"""What tasks have in common whose functions answer with numbers."""

import abc

from jaxtyping import Float
from torch import Generator, Tensor


class Regression(abc.ABC):
    """Functions to vectors of numbers, of which the squared error says how good a prediction is."""

    @property
    @abc.abstractmethod
    def scale(self) -> float:
        """`E |y - E y|^2`, the loss of predicting the mean."""

    def corrupt(
        self, y: Float[Tensor, "batch shot d_y"], *, generator: Generator
    ) -> Float[Tensor, "batch shot d_y"]:
        """Labels are clean, unless a task has noise."""
        return y

    def loss(
        self, prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
    ) -> Float[Tensor, "*batch"]:
        """Squared error, summed over the coordinates of y."""
        return (prediction - target).square().sum(-1)

    def error(
        self, prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
    ) -> Float[Tensor, "*batch"]:
        """Squared error over its scale."""
        return self.loss(prediction, target) / self.scale
