"""Whether values rise with their place."""

import numpy as np
import scipy
from jaxtyping import Float


def rank_trend(values: Float[np.ndarray, "... example"]) -> Float[np.ndarray, "..."]:
    """Spearman's correlation of values with their place; nan where all are the same."""
    ranks = scipy.stats.rankdata(values, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    place = np.arange(ranks.shape[-1]) - (ranks.shape[-1] - 1) / 2
    with np.errstate(invalid="ignore"):
        scale = np.sqrt((ranks**2).sum(-1) * (place**2).sum())
        return np.asarray((ranks * place).sum(-1) / scale)
