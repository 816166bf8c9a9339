"""`tvlens emergence`: the question that follows trainings, and trains a small pair without any."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tvlens.commands.ask import Asking, ask
from tvlens.commands.asked_models import Sources, named_models
from tvlens.commands.sweep import trained
from tvlens.studies.questions import QUESTIONS
from tvlens.tasks import LinearRegression
from tvlens.training.presets import PRESETS

SNAPSHOTS = 16


@dataclass(frozen=True)
class Following(Asking):
    """Which trainings are followed, and on what. Without any, a small pair is trained first (half a
    minute).
    """

    runs: Path = Path("runs")
    """Where the small pair is trained."""

    def sources(self) -> Sources:
        """The run folders that are named, or those of the small pair."""
        return named_models(self.models) if self.models else small_pair(self.runs, self.device)


def emergence(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens emergence`."""
    ask(QUESTIONS["emergence"], arguments, Following)


def small_pair(runs: Path, device: str | None) -> Sources:
    """Train two-dimensional regression without and with the TVP loss, unless it is there."""
    folders = {}
    for training in ("vanilla", "tvp"):
        preset = PRESETS[f"linear-{training}-small"]
        vanilla = preset.objective.prescribed_layer is None
        experiment = replace(
            preset,
            task=LinearRegression(d=2),
            model=replace(preset.model, n_layers=3, d_model=32),
            objective=preset.objective if vanilla else replace(preset.objective, tvp_layer=2),
            train=replace(preset.train, steps=800, examples=6, warmup=50),
        )
        name = f"emergence-{training}"
        folders[name] = runs / name
        trained(experiment, folders[name], device, SNAPSHOTS)
    return folders
