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
from tvlens.tasks.collinear_regression import CollinearRegression
from tvlens.tasks.linear_regression import LinearRegression
from tvlens.tasks.matrix_regression import LowRankRegression, MatrixRegression
from tvlens.tasks.orthonormal_items import ItemMap, OrthonormalItems
from tvlens.tasks.parameters import (
    Described,
    Estimated,
    Parameter,
    Probed,
    best_estimates,
    describe_parameters,
    probe_targets,
)
from tvlens.tasks.sinusoid import Sinusoid
from tvlens.tasks.token_offset import OffsetSplit, TokenOffset

__all__ = [
    "CollinearRegression",
    "Described",
    "Estimated",
    "ItemMap",
    "LinearRegression",
    "LowRankRegression",
    "MatrixRegression",
    "OffsetSplit",
    "OrthonormalItems",
    "Parameter",
    "Probed",
    "Sinusoid",
    "Task",
    "TokenOffset",
    "best_estimates",
    "check_relabelled",
    "describe_parameters",
    "fresh_queries",
    "oracle_predictions",
    "probe_targets",
    "relabelled",
    "sample_contexts",
    "sample_episodes",
]
