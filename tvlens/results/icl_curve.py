"""Errors against the number of examples."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.ratios import means_with_intervals, score_table


class ICLCurve(Result):
    """Errors of each episode after 0, 1, 2, .. examples.

    Variables over (episode, examples), in the task's error (0 is right, about 1 is knowing
    nothing): `icl` (full context), `tvp` (zero-shot prompt with the vector of that context),
    `zero_shot` (the same prompt untouched), `oracle` (best predictor there is).
    """

    def scores(self) -> pd.DataFrame:
        """Errors at the longest context."""
        rows = self.summary().isel(examples=-1)
        table = {str(name): rows[name].values for name in rows}
        return score_table(table)

    def summary(self) -> xr.Dataset:
        """Means over episodes, with the ends of their 95% intervals, along `bound`."""
        return means_with_intervals(self.data)
