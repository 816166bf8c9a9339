"""Results of one kind from several models: one file, one table."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr

from tvlens.files import write_whole
from tvlens.results.base import AnyResult, Result, open_netcdf


def save_results(results: Mapping[str, Result], path: Path | str) -> None:
    """Write a netCDF-4 file with a group for each model, whole or not at all.

    Args:
        results: by name; a name may not hold a slash.
    """
    tree = xr.DataTree.from_dict({name: each.data for name, each in results.items()})
    write_whole(Path(path), lambda file: tree.to_netcdf(file, engine="h5netcdf"))


def load_results(kind: type[AnyResult], path: Path | str) -> dict[str, AnyResult]:
    """Read what `save_results` wrote.

    Raises:
        InputError: the file is not there, is no netCDF file, or holds results of another kind.
    """
    tree = open_netcdf(path, xr.load_datatree)
    groups = tree.children or {"": tree}
    return {
        name: kind.from_dataset(node.to_dataset(), f"{path}, group {name!r}")
        for name, node in groups.items()
    }


def scores_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """A row for each model and score: `model`, `score`, `estimate`, `low`, `high`."""
    tables = {name: each.scores() for name, each in results.items()}
    return pd.concat(tables, names=["model", "score"]).reset_index()
