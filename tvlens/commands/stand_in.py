"""Until there is one kind of run: what is asked of both, in one place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tvlens.subjects import Subject, Test, Training
from tvlens.training.experiment import Experiment
from tvlens.training.linear_runs import (
    list_pretrained_linear,
    load_linear_run,
    load_linear_runs,
    load_pretrained_linear,
)
from tvlens.training.runs import (
    EXPERIMENT,
    PRETRAINED,
    list_pretrained,
    load_pretrained,
    load_run,
    load_snapshots,
    trained_kind,
)
from tvlens.training.snapshots import snapshot_files


def every_name() -> list[str]:
    return [*list_pretrained(), *list_pretrained_linear()]


def runs_of(source: str | Path, device: str | None, kinds: Iterable[type]) -> list[Any]:
    if isinstance(source, str):
        if source in list_pretrained_linear():
            return load_pretrained_linear(source, device=device)
        return [load_pretrained(source, device=device)]
    if not (source / EXPERIMENT).is_file() and any(source.glob(f"*/{EXPERIMENT}")):
        return load_linear_runs(source, device=device)
    if (source / EXPERIMENT).is_file() and trained_kind(source) == "LinearExperiment":
        return [load_linear_run(source, device=device, own_kinds=kinds)]
    return [load_run(source, device=device, own_kinds=kinds)]


def subject_of(
    run: Any,
    source: str | Path,
    kinds: Iterable[type],
    *,
    episodes: int,
    examples: int | None,
    layer: int | None,
    seed: int,
    name: str,
) -> Subject:
    experiment = run.experiment
    folder = PRETRAINED / source if isinstance(source, str) else source
    device = next(run.model.parameters()).device
    tvp = None
    if isinstance(experiment, Experiment) and experiment.objective.tvp_weight > 0:
        tvp = experiment.objective.tvp_layer
    return Subject(
        (run.model,),
        experiment.task,
        experiment.format,
        untrained=(experiment.build_model(device=device),),
        asked_layer=layer,
        test=Test(episodes, examples or experiment.train.examples, seed),
        training=Training(experiment.task, experiment.format, experiment.train.examples, tvp),
        name=name,
        snapshots=(lambda: load_snapshots(folder, device=str(device), own_kinds=kinds))
        if snapshot_files(folder)
        else None,
    )
