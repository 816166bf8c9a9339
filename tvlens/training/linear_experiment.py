"""What is trained of linear transformers: one frozen object that determines a run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator

from tvlens.base.errors import InputError
from tvlens.models.linear.config import LinearConfig, TokenDropout
from tvlens.prompts import TRIPLET, ColumnFormat, Episodes, check_one_width
from tvlens.tasks import LowRankRegression, MatrixRegression, Task
from tvlens.training.experiment import SeededExperiment, TrainConfig
from tvlens.training.optimization import Adam, Muon

if TYPE_CHECKING:
    import tvlens.models
    from tvlens.training.losses import Losses

LINEAR_TRAINING = TrainConfig(
    steps=5000,
    batch=500,
    examples=5,
    # A third of this rate ends in worse minima from some seeds.
    optimizer=Adam(learning_rate=0.03, weight_decay=0.05),
    clip_norm=10.0,
)
"""Unlike the code of Dong et al. (arXiv 2506.09048) it adds no random signs of examples, which the
paper does not mention and which change next to nothing."""


@dataclass(frozen=True)
class Sparsity:
    """A cost of every weight that is not 0, once the model has learned what it can without."""

    weight: float = 0.0
    """Weight of the sum of the absolute values of all weights in the loss."""
    after: int = 2000
    """Steps without it. From the start on it would hold all weights at 0."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.after < 0:
            raise InputError(f"Sparsity needs weight >= 0 and after >= 0, got {self}.")

    def at(self, step: int) -> float:
        """The weight after a number of steps."""
        return self.weight if step >= self.after else 0.0


@dataclass(frozen=True)
class LinearExperiment(SeededExperiment):
    """A regression, how its examples are shown to a linear transformer, and how that is trained."""

    PARTS = (
        MatrixRegression,
        LowRankRegression,
        LinearConfig,
        ColumnFormat,
        TokenDropout,
        Sparsity,
        TrainConfig,
        Adam,
        Muon,
    )
    task: MatrixRegression | LowRankRegression | Task = MatrixRegression()
    """What is learned in context; x and y have the same width."""
    format: ColumnFormat = TRIPLET
    """How examples become tokens."""
    model: LinearConfig = LinearConfig()
    """The transformer."""
    sparsity: Sparsity = Sparsity()
    """What weights cost."""
    train: TrainConfig = LINEAR_TRAINING
    """The training; every prompt has `examples` examples."""
    seed: int = 0
    """Seed of initial weights and training data."""

    def __post_init__(self) -> None:
        check_one_width(self.task.d_x, self.task.d_y)

    def build_model(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> "tvlens.models.LinearTransformer":
        """The untrained model, with the weights that training starts from."""
        # TransformerLens takes longer to import than all else here; describing needs none of it.
        from tvlens.models import LinearTransformer

        return LinearTransformer(
            self.model,
            self.task.d_x,
            self.format,
            self.train.examples,
            generator=torch.Generator().manual_seed(self.seed),
            device=device,
            dtype=dtype,
        )

    def losses(
        self,
        model: "tvlens.models.LinearTransformer",
        episodes: Episodes,
        *,
        generator: Generator,
        step: int,
    ) -> "Losses":
        """The losses of a batch, after some steps of training."""
        from tvlens.training.linear_losses import linear_losses

        sparsity = self.sparsity.at(step)
        return linear_losses(model, self.task, self.format, episodes, sparsity, generator=generator)
