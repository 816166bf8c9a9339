"""Optimisers and learning-rate schedules, as data."""

import enum
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from tvlens.base.config import kind
from tvlens.base.errors import InputError
from tvlens.models.protocol import matrices_of
from tvlens.training.muon import BatchedMuon


@runtime_checkable
class OptimizerConfig(Protocol):
    """How weights are updated, as data."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    """It is a frozen dataclass."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        ...

    def build(self, model: nn.Module) -> list[Optimizer]:
        """Optimisers that together own all the model's parameters."""
        ...


@kind
@dataclass(frozen=True)
class Adam:
    """Adam; AdamW when weight_decay is not 0."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    beta1: float = 0.9
    """Decay of the running mean of gradients."""
    beta2: float = 0.99
    """Decay of the running mean of squared gradients."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""

    def build(self, model: nn.Module) -> list[Optimizer]:
        """The optimiser of all the model's parameters."""
        return [_adamw(self, list(model.parameters()))]


@kind
@dataclass(frozen=True)
class Muon:
    """Muon (Jordan et al., 2024) for the matrices that the model names, Adam for all else."""

    learning_rate: float = 0.02
    """Peak learning rate of the matrices: the root mean square size of one update's singular
    values, since Muon makes them all equal."""
    momentum: float = 0.95
    """Nesterov momentum."""
    adam: Adam = Adam(learning_rate=3e-3)
    """For embeddings, biases, norms and the read-out."""

    def build(self, model: nn.Module) -> list[Optimizer]:
        """Two optimisers that together own all the model's parameters."""
        if self.learning_rate <= 0 or self.momentum < 0:
            raise InputError(f"An optimiser needs a learning rate > 0, momentum >= 0, got {self}.")
        names = set(matrices_of(model))
        matrices = [each for name, each in model.named_parameters() if name in names]
        others = [each for name, each in model.named_parameters() if name not in names]
        muon = BatchedMuon(matrices, learning_rate=self.learning_rate, momentum=self.momentum)
        return [muon, _adamw(self.adam, others)]


class Schedule(enum.StrEnum):
    """How the learning rate moves after the warm-up."""

    COSINE = "cosine"
    """Along half a cosine to 0."""
    CONSTANT = "constant"
    """Not at all."""

    def factor(self, step: int, steps: int, warmup: int) -> float:
        """Learning rate of step 0 .. steps - 1 as a share of its peak."""
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self is Schedule.CONSTANT:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_learning_rate(optimizers: list[Optimizer], factor: float) -> None:
    """Set every learning rate to a share of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("peak_lr", group["lr"])


def _adamw(config: Adam, parameters: list[nn.Parameter]) -> Optimizer:
    decays = 0 <= config.beta1 < 1 and 0 <= config.beta2 < 1 and config.weight_decay >= 0
    if config.learning_rate <= 0 or not decays:
        raise InputError(
            "An optimiser needs a learning rate > 0, betas in [0, 1) and weight decay >= 0, got "
            f"{config}."
        )
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
    )
