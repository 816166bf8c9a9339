"""Locality maps of several models, in one file."""

from pathlib import Path

import pandas as pd

from tvlens.results.collection import load_results, save_results
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
        save_results(self.maps, path)

    @classmethod
    def load(cls, path: Path | str) -> "LocalitySweep":
        """Read what `save` wrote.

        Raises:
            InputError: the file is not there, is no netCDF file, or holds something else.
        """
        return cls(load_results(LocalityMap, path))

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
