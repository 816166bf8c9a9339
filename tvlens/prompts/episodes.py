"""What a batch of in-context learning problems is."""

import hashlib
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Episodes:
    """A batch of in-context learning problems: one function each, and the examples drawn from it.

    *Shots* counts all examples of an episode. The last of them is the one to be answered, so a
    context of n examples and its query are n + 1 shots.
    """

    x: Float[Tensor, "batch shot d_x"]
    """Inputs. Symbols are one-hot vectors."""
    y: Float[Tensor, "batch shot d_y"]
    """Outputs as a context shows them, label noise included."""
    target: Float[Tensor, "batch shot d_y"]
    """Outputs as a prediction is scored against them: without noise."""
    params: Float[Tensor, "batch d_params"]
    """What defines each function: weights, amplitude and phase, offset."""

    @property
    def batch(self) -> int:
        """Number of episodes."""
        return self.x.shape[0]

    @property
    def shots(self) -> int:
        """Number of examples in each episode, the one to be answered included."""
        return self.x.shape[1]

    @property
    def digest(self) -> str:
        """The same for the same inputs and targets, and for no others."""
        found = hashlib.sha256()
        for each in (self.x, self.target):
            found.update(each.cpu().numpy().tobytes())
        return found.hexdigest()[:16]

    def __getitem__(self, rows: slice) -> "Episodes":
        """Some of the episodes."""
        return Episodes(self.x[rows], self.y[rows], self.target[rows], self.params[rows])

    def some_shots(self, shots: slice) -> "Episodes":
        """The same episodes with some of their examples."""
        return Episodes(self.x[:, shots], self.y[:, shots], self.target[:, shots], self.params)
