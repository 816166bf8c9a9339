"""The locality map of a planted model."""

import torch

import tvlens as tvl
from tests.planted import planted_model
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.results import LocalityMap

TASK = tvl.LinearRegression(d=2)
LEARN, ANSWER, LAYERS = 1, 3, 4


def map_planted() -> LocalityMap:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(TASK, 256, 6, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    return measure_locality_map(
        planted_model(LAYERS, LEARN, ANSWER, TASK.d),
        TASK,
        tvl.ZXY,
        episodes,
        queries,
        untrained=planted_model(LAYERS, LAYERS - 1, LAYERS, TASK.d),
        generator=generator,
    )
