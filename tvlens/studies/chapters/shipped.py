"""The models that ship, what they are asked, and how numbers are shown."""

from collections.abc import Mapping

import pandas as pd
import torch
import xarray as xr

from tvlens.models import LinearTransformer
from tvlens.prompts import Episodes
from tvlens.results.bounds import BOUNDS
from tvlens.studies.claims import Found
from tvlens.studies.story import Story
from tvlens.subjects import Subject, Test, Training
from tvlens.tasks import MatrixRegression, sample_episodes
from tvlens.training.linear_runs import LinearRun, load_pretrained_linear
from tvlens.training.runs import load_pretrained

TASK = MatrixRegression()
"""What all linear transformers were trained on."""


def seeds(name: str, device: torch.device) -> list[LinearRun]:
    """The trainings of a linear transformer from all seeds."""
    return load_pretrained_linear(name, device=str(device))


def models(name: str, device: torch.device) -> list[LinearTransformer]:
    """The models of all seeds."""
    return [run.model for run in seeds(name, device)]


def sample(story: Story, shots: int, times: float = 1.0) -> Episodes:
    """So many times the episodes of a story."""
    count = round(times * story.episodes)
    return sample_episodes(TASK, count, shots, generator=story.generator())


def subject(name: str, story: Story, episodes: int, examples: int | None = None) -> Subject:
    """A softmax model, in contexts of so many examples; of as many as in its training if None."""
    run = load_pretrained(name, device=str(story.on))
    asked, objective = run.experiment, run.experiment.objective
    longest = asked.train.examples
    return Subject(
        (run.model,),
        asked.task,
        asked.format,
        untrained=(asked.build_model(device=story.on),),
        test=Test(episodes, examples or longest, story.seed),
        training=Training(
            asked.task,
            asked.format,
            longest,
            objective.tvp_layer if objective.tvp_weight > 0 else None,
        ),
        name=name,
    )


def bounds(values: xr.Dataset) -> Found:
    """Estimate and interval of one cell."""
    estimate, low, high = (float(values[each]) for each in BOUNDS)
    return estimate, low, high


def score(scores: pd.DataFrame, name: str) -> Found:
    """Estimate and interval of one score."""
    estimate, low, high = map(float, scores.loc[name, list(BOUNDS)])
    return estimate, low, high


def side_by_side(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The scores of several models in one table."""
    tables = [
        each.rename_axis("score").reset_index().assign(model=name) for name, each in scores.items()
    ]
    return shown(pd.concat(tables).loc[:, ["model", "score", *BOUNDS]])


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it stands on a page: rounded, and empty where there is nothing."""
    return table.map(lambda cell: f"{cell:.4g}" if isinstance(cell, float) else str(cell)).replace(
        "nan", ""
    )
