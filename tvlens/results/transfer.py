"""Whether a task vector serves elsewhere than where it was read."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.ratios import NOTHING, mean_with_interval, recovery, score_table


class Transfer(Result):
    """Errors of task-vector prompting when a vector is written elsewhere than it was read.

    Errors of single episodes, in the task's unit (0 is right, about 1 is knowing nothing):

    - `layers` (episode, read, write): the carrier's vector of the longest context is read at one
      layer and written at another. `shuffled` (episode, read, write): the vector of another
      episode.
    - `zero_shot` (episode): the same prompts untouched.
    - `lengths` (episode, examples, position): the vector after a number of examples, read and
      written at the layer `layer`; the zero-shot prompt has the position ids that it would have
      after `position` examples. `lengths_zero_shot`: the same prompts untouched.
    - `icl`, `oracle` (episode, examples): full context, best predictor.

    Attributes: `layer`, `carrier`, `format`, `task`, `position_ids` (of `layers`).
    """

    def layer_recovery(self) -> xr.Dataset:
        """Recovery over (read, write): `estimate`, `low`, `high`."""
        return recovery(self.data.layers, self.data.zero_shot, self._longest_icl, "episode")

    def length_recovery(self) -> xr.Dataset:
        """Recovery over (examples, position), as a share of what in-context learning gains with the
        same examples; nan where that is nothing.
        """
        data = self.data
        gains = [
            recovery(
                data.lengths.isel(examples=[each]),
                data.lengths_zero_shot.isel(examples=[each]),
                data.icl.isel(examples=[each]),
                "episode",
            )
            for each in range(data.sizes["examples"])
        ]
        return xr.concat(gains, "examples")

    def scores(self) -> pd.DataFrame:
        """Numbers of the longest context at the layer reported, with 95% intervals.

        - `icl`, `zero_shot`, `oracle`: errors.
        - `same_layer`: recovery, read and written there; `shuffled`: with another episode's vector.
        - `written_below`, `written_above`: read there, written a layer below or above;
          `read_below`, `read_above`: read a layer below or above, written there. nan where there
          is no such layer.
        - `own_position`, `first_position`: at the position ids that follow the context, and at
          those that follow the shortest one.
        """
        layer, data = self.data.attrs["layer"], self.data
        by_layer = self.layer_recovery()
        by_position = self.length_recovery().isel(examples=-1)
        shuffled = recovery(data.shuffled, data.zero_shot, self._longest_icl, "episode")

        def at(read: int, write: int) -> xr.Dataset | tuple[float, float, float]:
            inside = min(read, write) >= 0 and max(read, write) < data.sizes["read"]
            return by_layer.sel(read=read, write=write) if inside else NOTHING

        return score_table(
            {
                "icl": mean_with_interval(self._longest_icl, "episode"),
                "zero_shot": mean_with_interval(data.zero_shot, "episode"),
                "oracle": mean_with_interval(data.oracle.isel(examples=-1), "episode"),
                "same_layer": at(layer, layer),
                "shuffled": shuffled.sel(read=layer, write=layer),
                "written_below": at(layer, layer - 1),
                "written_above": at(layer, layer + 1),
                "read_below": at(layer - 1, layer),
                "read_above": at(layer + 1, layer),
                "own_position": by_position.isel(position=-1),
                "first_position": by_position.isel(position=0),
            }
        )

    @property
    def _longest_icl(self) -> xr.DataArray:
        return self.data.icl.isel(examples=-1, drop=True)
