"""Locality maps of several models, in one file."""

from pathlib import Path

import pandas as pd
import xarray as xr

from tvlens.files import write_whole
from tvlens.results.base import open_netcdf
from tvlens.results.locality_map import LocalityMap


class LocalitySweep:
    """Locality maps by model name; models may differ in depth, roles and task."""

    def __init__(self, maps: dict[str, LocalityMap]) -> None:
        """Collect maps.

        Args:
            maps: by name; a name may not hold a slash.
        """
        self.maps = maps

    def save(self, path: Path | str) -> None:
        """Write a netCDF-4 file with a group for each model, whole or not at all."""
        tree = xr.DataTree.from_dict({name: each.data for name, each in self.maps.items()})
        write_whole(Path(path), lambda file: tree.to_netcdf(file, engine="h5netcdf"))

    @classmethod
    def load(cls, path: Path | str) -> "LocalitySweep":
        """Read what `save` wrote.

        Raises:
            InputError: the file is not there, is no netCDF file, or holds something else.
        """
        tree = open_netcdf(path, xr.load_datatree)
        groups = tree.children or {"": tree}
        return cls(
            {
                name: LocalityMap.from_dataset(node.to_dataset(), f"{path}, group {name!r}")
                for name, node in groups.items()
            }
        )

    def table(self) -> pd.DataFrame:
        """A row for each model: errors, best layer, and the scores of `LocalityMap.scores`."""
        rows = {}
        for name, each in self.maps.items():
            scores = each.scores()
            bounds = {
                f"{score}_{bound}": scores.loc[score, bound]
                for score in scores.index
                for bound in ("low", "high")
            }
            layer = {"best_layer": each.best_layer()}
            rows[name] = layer | scores["estimate"].to_dict() | bounds
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
