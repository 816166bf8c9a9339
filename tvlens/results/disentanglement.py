"""Whether a task vector holds the task and nothing else."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import jackknife_interval
from tvlens.results.ratios import (
    defined_gain,
    mean_with_interval,
    ratio_of_means,
    recovery,
    score_table,
)


class Disentanglement(Result):
    """What else than the function the carrier's vector holds, and what that costs.

    All vectors but those of the nuisance `examples` are those of the longest context. Replicates
    are functions; values are means over the contexts of a function (sums for `residual`,
    `shuffled_residual`, `spread`). Errors are in the task's unit.

    - `tvp` (function, layer, averaged): task-vector prompting with the mean of the vectors of some
      contexts, on queries that none of these contexts has seen.
    - `other` (function, layer): the same with the vector of a context of another function.
    - `own`, `swapped` (function, layer): task-vector prompting with the query that the context
      ended with, by the vector of that context and by the vector of another context of the same
      function. `own_zero_shot` (function): that query without a vector. nan where the carrier has
      not seen its query.
    - `icl`, `zero_shot`, `oracle` (function): full context, no context, best predictor.
    - `disagreement` (function, layer): the error of the answer that one context's vector gives,
      scored against the answer of another context of the same function. For a squared error this
      is twice the variance of answers over contexts, for symbols the share that differ.
    - `centre` (function, layer, component): the mean vector. `within` (function, layer): the
      variance around it, summed over components (with C - 1 in the denominator).
    - `residual`, `shuffled_residual` (function, layer, nuisance), `spread` (function, nuisance):
      squared errors of a ridge regression from the vector to a nuisance, fitted on other functions;
      the same after the nuisance was shuffled among contexts of one function; squared deviations
      from the mean of the functions fitted. The nuisances are the `last x` and `last y` before the
      carrier, the number of `examples`, and the x of the `query`.

    Attributes: `layer` (that `scores` reports), `contexts` (of each function), `examples`,
    `carrier`, `format`, `task`, `carrier_sees_query` (0 or 1), `position_ids`.
    """

    def recovery(self) -> xr.Dataset:
        """Recovery over (layer, averaged): `estimate`, `low`, `high`."""
        return recovery(self.data.tvp, self.data.zero_shot, self.data.icl, "function")

    def averaging_gain(self) -> xr.Dataset:
        """Recovery with the mean of all contexts' vectors minus recovery with single ones, over
        layer: what stood in the vector's way and is no property of the function.
        """
        data = self.data
        saved = data.tvp.isel(averaged=0, drop=True) - data.tvp.isel(averaged=-1, drop=True)
        gain = defined_gain(data.zero_shot, data.icl, "function")
        return ratio_of_means(saved, gain, "function")

    def query_swap(self) -> xr.Dataset:
        """Recovery with the vector's own query minus recovery with another, over layer.

        Where the carrier has not seen its query, the vector does not depend on it: 0 by identity,
        without an interval.
        """
        data = self.data
        if not data.attrs["carrier_sees_query"]:
            zero = xr.zeros_like(data.own.isel(function=0, drop=True))
            return xr.Dataset({"estimate": zero, "low": zero * np.nan, "high": zero * np.nan})
        gain = defined_gain(data.own_zero_shot, data.icl, "function")
        return ratio_of_means(data.swapped - data.own, gain, "function")

    def leakage(self, shuffled: bool = False) -> xr.Dataset:
        """Held-out R^2 from the vector to each nuisance, over (layer, nuisance).

        Args:
            shuffled: the control, whose nuisance is another context's of the same function.
        """
        residual = self.data["shuffled_residual" if shuffled else "residual"]
        explained = self.data.spread - residual
        return ratio_of_means(explained.transpose(*residual.dims), self.data.spread, "function")

    def context_variance(self) -> xr.Dataset:
        """Share of the vectors' variance that lies within functions, over layer; nan where all
        vectors are the same.

        This is 1 - eta^2, corrected for the number of contexts: a mean of C contexts keeps a share
        1/C of the variance within, which eta^2 would count as variance between functions.
        """
        centre = self.data.centre.transpose("function", "layer", "component").values.astype(float)
        centre = centre - centre.mean(0)
        within = self.data.within.transpose("function", "layer").values.astype(float)
        moments = (within, (centre**2).sum(-1), centre)
        count = len(within)
        estimate = self._variance_share(count, *(each.mean(0) for each in moments))
        others = ((each.sum(0) - each) / (count - 1) for each in moments)
        without = self._variance_share(count - 1, *others)
        template = self.data.within.isel(function=0, drop=True)
        return label_bounds(template, estimate, *jackknife_interval(estimate, without))

    def _variance_share(
        self, functions: int, within: np.ndarray, square: np.ndarray, centre: np.ndarray
    ) -> np.ndarray:
        """From means over functions of the variance within, and the first two moments of means."""
        inflation = functions / (functions - 1) if functions > 1 else np.nan
        between = (square - (centre**2).sum(-1)) * inflation
        between = np.maximum(between - within / self.data.attrs["contexts"], 0)
        total = within + between
        return np.where(total > 0, within, np.nan) / np.where(total > 0, total, 1)

    def scores(self) -> pd.DataFrame:
        """Numbers at the layer reported, a row each, with 95% intervals over functions.

        - `icl`, `zero_shot`, `oracle`: errors.
        - `recovery`, `recovery_of_mean`, `averaging_gain`: with single vectors, with the mean over
          contexts, and their difference.
        - `other_function`: recovery with the vector of another function.
        - `query_swap`, `context_variance`, `disagreement`: as the methods and variables say.
        - `leakage_of_...`, and `..._shuffled`: R^2.
        """
        layer = self.data.attrs["layer"]
        data = self.data.sel(layer=layer)
        recovered = self.recovery().sel(layer=layer)
        rows = {
            **{n: mean_with_interval(data[n], "function") for n in ("icl", "zero_shot", "oracle")},
            "recovery": recovered.isel(averaged=0),
            "recovery_of_mean": recovered.isel(averaged=-1),
            "averaging_gain": self.averaging_gain().sel(layer=layer),
            "other_function": recovery(data.other, data.zero_shot, data.icl, "function"),
            "query_swap": self.query_swap().sel(layer=layer),
            "context_variance": self.context_variance().sel(layer=layer),
            "disagreement": mean_with_interval(data.disagreement, "function"),
        }
        for ending, shuffled in (("", False), ("_shuffled", True)):
            leakage = self.leakage(shuffled).sel(layer=layer)
            for nuisance in leakage.nuisance.values:
                name = f"leakage_of_{nuisance}{ending}".replace(" ", "_")
                rows[name] = leakage.sel(nuisance=nuisance)
        return score_table(rows)
