"""How well the task can be read off a vector, whether or not the model reads it."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.base.errors import InputError
from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS, label_bounds
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.locality_map import LocalityMap
from tvlens.results.ratios import score_table


class Decodability(Result):
    """What probes find in the vectors of a model, for each function.

    With the true functions and, as a control, with shuffled ones (dimension `labels`: true,
    shuffled):

    - `squared_error` (layer, examples, function, target): of a ridge regression from the vector to
      the probe targets, fitted on other functions; mean over the function's contexts.
    - `baseline_error` (function, target): of the mean of the functions that were fitted on.
    - `knn` (layer, examples, function): share of the function's contexts whose nearest vectors
      vote for it (Han et al. 2025). All other vectors may vote, those of the function included.

    Where the task knows how much a context tells (`Estimated`):

    - `estimate_error` (examples, function, target): of the best estimate from the context.
    - `estimate_knn` (examples, function): `knn` with these estimates in place of vectors.

    After `with_recovery`: `recovery`, `recovery_low`, `recovery_high` (layer), at the longest
    context.

    Attributes: `layer` that the scores are of, `folds`, `neighbours`, and those of `TaskVectors`.
    """

    def r2(self) -> xr.Dataset:
        """Share of the targets' variance that a linear probe predicts for functions it never saw.

        1 - squared error / squared error of the mean, both summed over targets. Variables
        `estimate`, `low`, `high` over (labels, layer, examples).
        """
        errors = self.data.squared_error.sum("target")
        return _ratio(self.data.baseline_error.sum("target") - errors, self._spread())

    def r2_of_targets(self) -> xr.Dataset:
        """The same for each target, over (labels, layer, examples, target)."""
        baseline = self.data.baseline_error
        return _ratio(baseline - self.data.squared_error, baseline)

    def ceiling(self) -> xr.Dataset:
        """`r2` of the best estimates from the contexts, over (examples): what a vector could hold.

        nan where the task does not tell.
        """
        if "estimate_error" not in self.data:
            return self._undefined()
        spread = self._spread().sel(labels="true", drop=True)
        return _ratio(spread - self.data.estimate_error.sum("target"), spread)

    def accuracy(self) -> xr.Dataset:
        """Share of contexts whose nearest vectors are of their own function, over (labels, layer,
        examples).
        """
        return _ratio(self.data.knn, xr.ones_like(self.data.knn))

    def selectivity(self) -> xr.Dataset:
        """Accuracy minus accuracy with shuffled functions, over (layer, examples)."""
        gain = self.data.knn.sel(labels="true") - self.data.knn.sel(labels="shuffled")
        return _ratio(gain, xr.ones_like(gain))

    def estimate_accuracy(self) -> xr.Dataset:
        """Accuracy with the best estimates in place of vectors, over (examples).

        nan where the task does not tell. No bound: neighbours may well be better or worse placed in
        a vector than in the space of parameters.
        """
        if "estimate_knn" not in self.data:
            return self._undefined()
        return _ratio(self.data.estimate_knn, xr.ones_like(self.data.estimate_knn))

    def with_recovery(self, locality: LocalityMap) -> "Decodability":
        """The same result with the recovery of each layer's carrier vector, to compare with.

        Raises:
            InputError: the map is of another carrier, of other layers or of another longest
                context.
        """
        recovery = locality.recovery()
        layers, longest = self.data.layer.values, int(self.data.examples[-1])
        if (
            locality.carrier != self.data.attrs["carrier"]
            or not np.array_equal(layers, recovery.layer)
            or longest != int(recovery.examples[-1])
        ):
            raise InputError(
                f"Vectors of {self.data.attrs['carrier']} at layers 0 to {layers[-1]} after up to "
                f"{longest} examples cannot be set beside a map of {locality.carrier} at layers 0 "
                f"to {int(recovery.layer[-1])} and up to {int(recovery.examples[-1])} examples."
            )
        carrier = recovery.sel(role=locality.carrier).isel(examples=-1).reset_coords(drop=True)
        names = {"estimate": "recovery", "low": "recovery_low", "high": "recovery_high"}
        return Decodability(self.data.merge(carrier.rename(names), combine_attrs="override"))

    def scores(self) -> pd.DataFrame:
        """At the chosen layer and the longest context, a row each, with 95% intervals.

        - `r2`: of a linear probe on functions it never saw; `ceiling`: of the best estimate.
        - `knn_accuracy`: of the vote of neighbours; `selectivity`: above shuffled functions.
        - `shuffled_r2`, `shuffled_knn_accuracy`: controls.
        - `recovery`: how much of in-context learning the same vector steers, if it was given.
        """
        r2, accuracy = self.r2(), self.accuracy()
        rows = {
            "r2": self._here(r2.sel(labels="true")),
            "ceiling": self._here(self.ceiling()),
            "knn_accuracy": self._here(accuracy.sel(labels="true")),
            "selectivity": self._here(self.selectivity()),
            "shuffled_r2": self._here(r2.sel(labels="shuffled")),
            "shuffled_knn_accuracy": self._here(accuracy.sel(labels="shuffled")),
        }
        if "recovery" in self.data:
            here = self.data.sel(layer=self.data.attrs["layer"])
            names = ("recovery", "recovery_low", "recovery_high")
            rows["recovery"] = here[list(names)].rename(dict(zip(names, BOUNDS, strict=True)))
        return score_table(rows)

    def _here(self, bounds: xr.Dataset) -> xr.Dataset:
        cell = bounds.isel(examples=-1)
        return cell.sel(layer=self.data.attrs["layer"]) if "layer" in cell.dims else cell

    def _spread(self) -> xr.DataArray:
        return self.data.baseline_error.sum("target")

    def _undefined(self) -> xr.Dataset:
        empty = xr.full_like(self.data.examples, np.nan, dtype=float)
        return xr.Dataset(dict.fromkeys(BOUNDS, empty))


def _ratio(part: xr.DataArray, whole: xr.DataArray) -> xr.Dataset:
    """Mean of one variable over mean of another, over functions, which are resampled jointly."""
    order = ("function", *(each for each in part.dims if each != "function"))
    top = part.transpose(*order)
    bottom = whole.broadcast_like(top).transpose(*order)
    low, high = interval(resampled_means(top.values) / resampled_means(bottom.values))
    estimate = top.values.mean(0) / bottom.values.mean(0)
    return label_bounds(top.isel(function=0, drop=True), estimate, low, high)
