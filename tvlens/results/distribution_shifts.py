"""What errors become when test data come from elsewhere than training data."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.intervals import resampled_means
from tvlens.results.ratios import score_table
from tvlens.results.shifted_errors import MODEL_MODES, MODES, ShiftedErrors


class DistributionShifts(ShiftedErrors):
    """Errors of the same episodes under a suite of shifts.

    Variables and coordinates of `ShiftedErrors`, and over shift: `reference`, the shift that it is
    compared with: `standard`, or, where a shift shortens the context and does more, one that only
    does that.
    """

    @property
    def shifts(self) -> list[str]:
        """Names of the shifts that are no references."""
        references = set(self.data.reference.values.tolist())
        return [name for name in self.data["shift"].values.tolist() if name not in references]

    def scores(self) -> pd.DataFrame:
        """Errors in context and with the vector, a row for each shift: `icl: NAME`, `tvp: NAME`."""
        summary = self.summary()
        rows = {
            f"{mode}: {name}": summary.sel(mode=mode, shift=name)
            for mode in MODEL_MODES
            for name in self.data["shift"].values.tolist()
        }
        return score_table(rows)

    def remaining(self) -> xr.Dataset:
        """Error over the error of a zero-shot prompt for the same queries, E / E_zero.

        0 is right, 1 is what the model knows without a context, more is harm. Unlike plain errors,
        which grow with y, shares can be compared across shifts. `estimate`, `low`, `high` over
        (mode, shift), of ratios of means.
        """
        values = self.values(MODES)
        zero = values[:, [MODES.index("zero_shot")]]
        return self._labelled(
            values.mean(0) / zero.mean(0), resampled_means(values) / resampled_means(zero), MODES
        )

    def increase(self) -> xr.Dataset:
        """Relative error increase, E / E_reference - 1: `estimate`, `low`, `high` over (mode,
        shift); nan where the reference makes no error.
        """
        values = self.values(MODEL_MODES)
        names = self.data["shift"].values.tolist()
        place = [names.index(name) for name in self.data.reference.values.tolist()]
        means, resampled = values.mean(0), resampled_means(values)
        reference = np.where(means[:, place] > 0, means[:, place], np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = resampled / resampled[..., place] - 1
        ratios = np.where(np.isnan(reference), np.nan, ratios)
        return self._labelled(means / reference - 1, ratios, MODEL_MODES)

    def table(self) -> pd.DataFrame:
        """A row for each shift: mean errors of every mode, and the relative increases."""
        means = self.data[list(MODES)].mean("episode").to_dataframe()[list(MODES)]
        increase = self.increase().estimate.to_pandas().T.add_suffix("_increase")
        known = self.data.oracle_knows.to_series().astype(bool)
        return pd.concat([means, increase, known], axis=1)
