"""Losses over a training run."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result


class History(Result):
    """Mean losses over each stretch of steps, divided by the task's scale.

    Variables over `step` (the last of the stretch, counted from 1): `total`, `icl`, `tvp` (nan in
    vanilla training) and `learning_rate` (as a share of its peak).
    """

    COLUMNS = ("total", "icl", "tvp", "learning_rate")

    @classmethod
    def from_rows(cls, rows: Float[np.ndarray, "row 5"]) -> "History":
        """Label rows of (step, total, icl, tvp, learning rate)."""
        data = {name: ("step", rows[:, index + 1]) for index, name in enumerate(cls.COLUMNS)}
        return cls(xr.Dataset(data, coords={"step": rows[:, 0].astype(int)}))
