"""When does a task vector come to be? `python analyses/emergence.py RUN` follows a training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from contexts import ContextStudy, sample_contexts
from study import Models, Script, Sources, Subject

import tvlens as tvl
from tvlens.base.progress import progress

DESCRIPTION = """Locality map and geometry of the task vectors along a training.

Give run folders that were trained with snapshots:
    python analyses/train.py --preset linear-tvp-small --snapshots 24 --out runs/linear-tvp
    python analyses/emergence.py runs/linear-tvp
Without any, a small pair is trained first (two-dimensional regression, about half a minute)."""


@dataclass(frozen=True)
class EmergenceStudy(ContextStudy):
    """Which trainings are followed, and on what."""

    ELSEWHERE: ClassVar = (*ContextStudy.ELSEWHERE, "runs")

    models: Models = ()
    """Run folders with snapshots; a small pair is trained if none are given."""
    episodes: int = 128
    """Episodes that each model of a training is tested on."""
    functions: int = 12
    """Functions whose vectors are compared."""
    contexts: int = 20
    """Contexts of each function."""
    runs: Path = Path("runs")
    """Where the small pair is trained."""


def small_pair(config: EmergenceStudy) -> Sources:
    """Train two-dimensional regression without and with the TVP loss, unless it is there."""
    vanilla, tvp = (tvl.PRESETS[f"linear-{each}-small"] for each in ("vanilla", "tvp"))
    folders: dict[str, str | Path] = {}
    for name, experiment in (("emergence-vanilla", vanilla), ("emergence-tvp", tvp)):
        prescribed = 2 if experiment.objective.prescribed_layer else 0
        experiment = replace(
            experiment,
            task=tvl.LinearRegression(d=2),
            model=replace(experiment.model, n_layers=3, d_model=32),
            objective=replace(experiment.objective, tvp_layer=prescribed),
            train=replace(experiment.train, steps=800, examples=6, warmup=50),
        )
        folder = config.runs / name
        folders[name] = folder
        if not tvl.is_finished(folder):
            options = {"device": config.device, "resume": True, "snapshots": 16}
            states = tvl.train_run(experiment, folder, **options)
            for _ in progress(states, f"training {name}", experiment.train.steps):
                pass
    return folders


def analyse(subject: Subject) -> tvl.Emergence:
    """What emerges in one training."""
    config = subject.config
    assert isinstance(config, EmergenceStudy)
    from tvlens.training.runs import PRETRAINED

    source = PRETRAINED / subject.source if isinstance(subject.source, str) else subject.source
    models = tvl.load_snapshots(source, device=config.device)
    return tvl.analysis.emergence(
        models,
        *subject.asked[1:],
        *subject.episodes(),
        sample_contexts(subject),
        layer=subject.layer,
        generator=subject.generator,
    )


def trained(config: EmergenceStudy) -> Sources | None:
    """The small pair if no run is named."""
    return None if config.models else small_pair(config)


SCRIPT = Script("emergence", tvl.Emergence, analyse, DESCRIPTION, EmergenceStudy())

if __name__ == "__main__":
    SCRIPT.main(trained)
