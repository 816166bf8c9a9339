"""Intervals by bootstrap over episodes, the unit of replication."""

import functools

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
LEVEL = 0.95


def resampled_means(
    values: Float[np.ndarray, "episode ..."], resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "resample ..."]:
    """Means of samples of the episodes, drawn with replacement.

    The same seed draws the same episodes, so that means of several variables can be combined.
    """
    weights = _weights(values.shape[0], resamples, seed)
    means = weights @ values.reshape(values.shape[0], -1).astype(float)
    return means.reshape(resamples, *values.shape[1:])


@functools.lru_cache(maxsize=4)
def _weights(episodes: int, resamples: int, seed: int) -> Float[np.ndarray, "resample episode"]:
    """How much each episode counts in each sample."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=resamples)
    return counts / episodes


def interval(
    resampled: Float[np.ndarray, "resample ..."], level: float = LEVEL
) -> tuple[Float[np.ndarray, "..."] | float, Float[np.ndarray, "..."] | float]:
    """The central interval that holds a share `level` of the resampled statistics."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return low, high
