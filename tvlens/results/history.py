"""Losses over a training run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from tvlens.base.errors import InputError
from tvlens.results.base import Result


class Row(NamedTuple):
    """Mean losses over a stretch of steps; of several seeds, one of each."""

    step: int
    """The last of the stretch, counted from 1."""
    total: Float[np.ndarray, "*seed"]
    icl: Float[np.ndarray, "*seed"]
    tvp: Float[np.ndarray, "*seed"]
    learning_rate: float
    """As a share of its peak, at the last step."""


class History(Result):
    """Mean losses over each stretch of steps, divided by the task's scale.

    Variables over `step` (the last of the stretch, counted from 1), and over `seed` where several
    trained at once: `total`, `icl`, `tvp` (nan without a TVP loss). And `learning_rate` over `step`
    (as a share of its peak).
    """

    LOSSES = ("total", "icl", "tvp")

    @classmethod
    def from_rows(cls, rows: Sequence[Row], seeds: Sequence[int] | None = None) -> "History":
        """Label rows.

        Args:
            rows: in the order of training.
            seeds: those that trained at once; None if there was one, which has no dimension.

        Raises:
            InputError: a row does not have a loss for each seed.
        """
        expected = () if seeds is None else (len(seeds),)
        dims = ("step",) if seeds is None else ("step", "seed")
        data = {}
        for name in cls.LOSSES:
            values = [np.asarray(getattr(row, name), dtype=float) for row in rows]
            for row, each in zip(rows, values, strict=True):
                if each.shape != expected:
                    raise InputError(
                        f"The {name} loss at step {row.step} has shape {each.shape}, expected "
                        f"{expected}: one value for each seed."
                    )
            data[name] = (dims, np.reshape(values, (len(rows), *expected)))
        data["learning_rate"] = ("step", np.array([row.learning_rate for row in rows]))
        coords = {"step": np.array([row.step for row in rows], dtype=int)}
        if seeds is not None:
            coords["seed"] = np.array(seeds, dtype=int)
        return cls(xr.Dataset(data, coords=coords))

    def alone(self, seed: int) -> "History":
        """The history of one of several seeds."""
        return History(self.data.sel(seed=seed, drop=True))
