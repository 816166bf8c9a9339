"""The models that ship, what they are asked, and how numbers are shown."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch
import xarray as xr

from tvlens.analysis.shared.needs import missing
from tvlens.models import LinearTransformer
from tvlens.prompts import Episodes
from tvlens.results.bounds import BOUNDS
from tvlens.studies.claims import Found
from tvlens.studies.story import Story
from tvlens.subjects import Subject
from tvlens.tasks import MatrixRegression, sample_episodes
from tvlens.training.run import Run
from tvlens.training.runs import list_pretrained, load_pretrained, load_seeds

TASK = MatrixRegression()
"""What all linear transformers were trained on."""


def seeds(name: str, device: torch.device) -> list[Run[LinearTransformer]]:
    """The trainings of a linear transformer from all seeds."""
    return load_seeds(name, device=str(device))


def models(name: str, device: torch.device) -> list[LinearTransformer]:
    """The models of all seeds."""
    return [run.model for run in seeds(name, device)]


def sample(story: Story, shots: int, times: float = 1.0) -> Episodes:
    """So many times the episodes of a story."""
    count = round(times * story.episodes)
    return sample_episodes(TASK, count, shots, generator=story.generator())


def subject(name: str, story: Story, episodes: int, examples: int | None = None) -> Subject:
    """A model of one seed, in contexts of so many examples; of as many as in training if None."""
    run = load_pretrained(name, device=str(story.on))
    return run.subject(episodes=episodes, examples=examples, seed=story.seed, name=name)


def all_that_fit(analysis: Callable[..., Any], story: Story, episodes: int) -> list[Subject]:
    """All models that ship and that an analysis can be put to."""
    every = (subject(name, story, episodes) for name in list_pretrained())
    return [each for each in every if not missing(analysis, each)]


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
