"""How a task vector comes to be over a training."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.geometry import Geometry
from tvlens.results.locality_map import LocalityMap
from tvlens.results.ratios import defined_gain, score_table

REACHED = 0.5
"""The share of the final value at which something counts as learned."""
LITTLE = 0.05
"""An eta2 that is less above chance is none."""


class Emergence(Result):
    """Locality map and geometry of the models along a training, at the longest context.

    Variables have the dimension `step`: how many training steps a model has seen.

    - Those of `LocalityMap`, with a single length in `examples`.
    - `eta2` (layer, bound): share of the vectors' variance between functions (`Geometry.eta2`).
    - `coordinates` (context, axis): of the vectors of one layer along the principal components at
      that step, turned to lie as at the step after it as well as they can. The coordinate
      `function_of` (context) tells the function.

    Attributes: those of `LocalityMap`, the `layer` of the coordinates, and `chance`, what eta2 is
    expected to be where functions make no difference.
    """

    @classmethod
    def from_parts(
        cls, maps: Mapping[int, LocalityMap], geometries: Mapping[int, Geometry]
    ) -> "Emergence":
        """Put together what was found at each step."""
        steps = xr.Variable("step", list(maps))
        data = xr.concat([each.data.isel(examples=[-1]) for each in maps.values()], steps)
        eta2 = [each.eta2().sel(labels="true").to_array("bound") for each in geometries.values()]
        data["eta2"] = xr.concat(eta2, steps).drop_vars("labels")
        scores = [
            each.data.scores.sel(layer=each.data.attrs["layer"], drop=True)
            for each in geometries.values()
        ]
        coordinates = xr.concat(scores, steps).rename(episode="context")
        data["coordinates"] = _turned(coordinates.transpose("step", "context", "axis"))
        last = geometries[max(geometries)]
        return cls(data.assign_attrs(layer=last.data.attrs["layer"], chance=last.chance()))

    @property
    def steps(self) -> list[int]:
        """The steps that were looked at."""
        return self.data.step.values.tolist()

    def map_at(self, step: int) -> LocalityMap:
        """The locality map after a number of steps, of the longest context."""
        names = [name for name in self.data if name not in ("eta2", "coordinates")]
        return LocalityMap(self.data[names].sel(step=step, drop=True))

    def recovery(self) -> xr.Dataset:
        """`LocalityMap.recovery` at every step, over (step, layer, role)."""
        found = [self.map_at(step).recovery().isel(examples=0, drop=True) for step in self.steps]
        return xr.concat(found, xr.Variable("step", self.steps))

    def errors(self) -> xr.Dataset:
        """Mean errors over (step): `icl`, `zero_shot`, `oracle`, and `tvp` (layer) at carriers."""
        data = self.data.isel(examples=0, drop=True)
        carrier = data.tvp.sel(role=self.data.attrs["carrier"], drop=True)
        means = data[["icl", "zero_shot", "oracle"]].assign(tvp=carrier).mean("episode")
        return means.reset_coords(drop=True)

    def scores(self) -> pd.DataFrame:
        """Final values, and after how many steps half of what is gained in the end was there.

        - `icl`: final error of in-context learning; `recovery`, `eta2`: final, at the layer that
          the coordinates are of.
        - `steps_to_icl`, `steps_to_tvp`, `steps_to_eta2`: the first step looked at with half of
          the final gain over the zero-shot prompt, or half of what the final eta2 is above chance;
          nan where that final gain is below three standard errors, or eta2 less than 0.05 above
          chance. They have no interval.
        """
        layer = self.data.attrs["layer"]
        final = self.map_at(self.steps[-1])
        eta2 = self.data.eta2.sel(layer=layer).transpose("step", "bound")
        recovery = final.recovery().isel(examples=0)
        recovery = recovery.sel(layer=layer, role=self.data.attrs["carrier"])
        rows = {
            "icl": final.scores().loc["icl"],
            "recovery": recovery,
            "eta2": eta2.isel(step=-1).values,
        }
        data = self.data.isel(examples=0, drop=True)
        tvp = data.tvp.sel(layer=layer, role=self.data.attrs["carrier"])
        above = eta2.sel(bound="estimate") - self.data.attrs["chance"]
        curves = {
            "icl": _clear_gain(data.zero_shot, data.icl),
            "tvp": _clear_gain(data.zero_shot, tvp),
            "eta2": above if float(above[-1]) > LITTLE else above.where(False),
        }
        for name, curve in curves.items():
            rows[f"steps_to_{name}"] = [_halfway(curve), np.nan, np.nan]
        return score_table(rows)


def _clear_gain(worse: xr.DataArray, better: xr.DataArray) -> xr.DataArray:
    """Mean gain at every step; nan throughout unless that of the last step is clear."""
    last = defined_gain(worse.isel(step=-1), better.isel(step=-1), "episode")
    return (worse - better).mean("episode").where(bool(last.notnull().all()))


def _halfway(curve: xr.DataArray) -> float:
    """The first step with half of a curve's last value; nan where that is not defined."""
    if np.isnan(curve[-1]):
        return np.nan
    return float(curve.step.values[np.argmax(curve.values >= REACHED * float(curve[-1]))])


def _turned(coordinates: xr.DataArray) -> xr.DataArray:
    """The points of each step turned or mirrored to lie as those of the step after it do.

    Principal components may swap and change sign from one step to the next, which would look like
    movement. The best rotation is that of the orthogonal Procrustes problem.
    """
    values = coordinates.values.copy()
    for step in reversed(range(len(values) - 1)):
        here, there = values[step], values[step + 1]
        if np.isfinite(here).all() and np.isfinite(there).all():
            u, _, vh = np.linalg.svd(here.T @ there)
            values[step] = here @ u @ vh
    return coordinates.copy(data=values)
