"""Task families, one per file."""

from tvlens.tasks.base import (
    Task,
    check_relabelled,
    fresh_queries,
    oracle_predictions,
    relabelled,
    sample_contexts,
    sample_episodes,
)
from tvlens.tasks.linear_regression import LinearRegression
from tvlens.tasks.sinusoid import Sinusoid
from tvlens.tasks.token_offset import OffsetSplit, TokenOffset

__all__ = [
    "LinearRegression",
    "OffsetSplit",
    "Sinusoid",
    "Task",
    "TokenOffset",
    "check_relabelled",
    "fresh_queries",
    "oracle_predictions",
    "relabelled",
    "sample_contexts",
    "sample_episodes",
]
