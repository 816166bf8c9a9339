"""How much is asked for a story."""

from dataclasses import dataclass

import torch

from tvlens.base.devices import choose_device
from tvlens.base.errors import InputError


@dataclass(frozen=True)
class Story:
    """How much is asked for a story."""

    episodes: int = 4000
    """Episodes of each measurement."""
    seed: int = 20_250_609
    """Seed of the episodes, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""

    def __post_init__(self) -> None:
        if self.episodes < 100:
            raise InputError(
                f"{self.episodes} episodes are too few for a story; give at least 100."
            )

    @property
    def on(self) -> torch.device:
        """The device."""
        return choose_device(self.device)

    def generator(self, further: int = 0) -> torch.Generator:
        """A source of episodes, from its beginning: no chapter depends on those before it.

        Args:
            further: of something else than the episodes, which may not be made of their numbers.
        """
        return torch.Generator(self.on).manual_seed(self.seed + further)
