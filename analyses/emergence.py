"""When does a task vector come to be? `python analyses/emergence.py RUN` follows a training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from command_line import parse, plain_errors
from contexts import ContextStudy, sample_contexts
from study import Models, Page, Subject, conduct
from tqdm import tqdm

import tvlens as tvl
from tvlens.runs import PRETRAINED

DESCRIPTION = """Locality map and geometry of the task vectors along a training.

Give run folders that were trained with snapshots:
    python analyses/train.py --preset linear-tvp-small --snapshots 24 --out runs/linear-tvp
    python analyses/emergence.py runs/linear-tvp
Without any, a small pair is trained first (two-dimensional regression, about half a minute)."""

PAGE = Page(
    title="When does the task vector come to be?",
    text="Errors of in-context learning and of prompts that are given the task vector of each "
    "layer, and how much of the vectors' variance lies between functions, against training steps. "
    "Below, the slider shows after each number of steps how much of in-context learning one vector "
    "carries, and how the vectors of different functions (colours) lie to each other. 0 is right, "
    "about 1 is knowing nothing.",
    figures=lambda results: [
        tvl.plots.plot_emergence(results),
        *(
            tvl.plots.plot_emergence_animation(each).update_layout(title=name)
            for name, each in results.items()
        ),
    ],
)


@dataclass(frozen=True)
class EmergenceStudy(ContextStudy):
    """Which trainings are followed, and on what."""

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


def small_pair(config: EmergenceStudy) -> tuple[str, ...]:
    """Train two-dimensional regression without and with the TVP loss, unless it is there."""
    vanilla, tvp = (tvl.PRESETS[f"linear-{each}-small"] for each in ("vanilla", "tvp"))
    folders = []
    for name, experiment in (("emergence-vanilla", vanilla), ("emergence-tvp", tvp)):
        weight = experiment.objective.tvp_weight
        experiment = replace(
            experiment,
            task=tvl.LinearRegression(d=2),
            model=replace(experiment.model, n_layers=3, d_model=32),
            objective=replace(experiment.objective, tvp_layer=2 if weight else 0),
            train=replace(experiment.train, steps=800, examples=6, warmup=50),
        )
        folder = config.runs / name
        folders.append(str(folder))
        if not tvl.is_finished(folder):
            options = {"device": config.device, "resume": True, "snapshots": 16}
            states = tvl.train_run(experiment, folder, **options)
            for _ in tqdm(states, desc=f"training {name}", total=experiment.train.steps):
                pass
    return tuple(folders)


def analyse(subject: Subject) -> tvl.Emergence:
    """What emerges in one training."""
    config = subject.config
    assert isinstance(config, EmergenceStudy)
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


def main(config: EmergenceStudy) -> None:
    """Train the small pair if no run is named, then follow the trainings."""
    if not config.models and config.replot is None:
        config = replace(config, models=small_pair(config))
    conduct("emergence", config, tvl.Emergence, analyse, PAGE)


if __name__ == "__main__":
    with plain_errors():
        main(parse(EmergenceStudy, EmergenceStudy(), DESCRIPTION))
