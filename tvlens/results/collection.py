"""Results of one kind from several models: one file, one table."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr

from tvlens.base.files import write_whole
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


def what_was_asked(results: Mapping[str, Result]) -> list[str]:
    """A line for each model: layer, examples, seed, version and episodes, as far as known."""
    lines = []
    for name, each in results.items():
        data, attrs = each.data, each.data.attrs
        counted = [
            f"{data.sizes[dim]} {dim}s" for dim in ("episode", "function") if dim in data.sizes
        ]
        facts = {
            "layer": attrs.get("layer"),
            "up to examples": int(data.examples.max()) if "examples" in data.dims else None,
            "seed": attrs.get("seed"),
            "tvlens": attrs.get("version"),
        }
        told = [f"{what} {fact}" for what, fact in facts.items() if fact is not None]
        lines.append(", ".join(filter(None, [name, *told, *counted])))
    return lines


def side_by_side(results: Mapping[str, Result]) -> pd.DataFrame:
    """Scores to read: a row for each, and a column for each model with estimate and interval."""
    return readable_scores(scores_table(results))


def readable_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows of a `scores_table` to read, as `side_by_side` shows them."""
    bounds = scores[["estimate", "low", "high"]].to_numpy()
    cells = [
        f"{estimate:.3g}" + ("" if low != low else f" ({low:.3g} to {high:.3g})")
        for estimate, low, high in bounds
    ]
    wide = scores.assign(cell=cells).pivot(index="score", columns="model", values="cell")
    order = [scores[column].unique() for column in ("score", "model")]
    return wide.loc[order[0], order[1]].fillna("").reset_index().rename_axis(columns=None)


def scores_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """A row for each model and score: `model`, `score`, `estimate`, `low`, `high`."""
    tables = {name: each.scores() for name, each in results.items()}
    return pd.concat(tables, names=["model", "score"]).reset_index()
