"""What every result is: labelled arrays that can be saved, reloaded identically, and shown."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.base.errors import InputError
from tvlens.base.figures import figure
from tvlens.base.files import write_whole

AnyResult = TypeVar("AnyResult", bound="Result")


class Result:
    """Labelled arrays of one kind; subclasses say which, and what can be derived from them."""

    def __init__(self, data: xr.Dataset) -> None:
        """Wrap arrays.

        Args:
            data: the arrays; `attrs["kind"]` is set to the class name.
        """
        # Of a file, numbers come as numpy's.
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in data.attrs.items()}
        self.data = data.assign_attrs(plain, kind=type(self).__name__)

    def save(self, path: Path | str) -> None:
        """Write a netCDF-4 file, whole or not at all."""
        write_whole(Path(path), lambda file: self.data.to_netcdf(file, engine="h5netcdf"))

    @classmethod
    def load(cls: type[AnyResult], path: Path | str) -> AnyResult:
        """Read what `save` wrote; every value, label and attribute is the same.

        Raises:
            InputError: the file is not there, is no netCDF file, or holds another kind of result.
        """
        return cls.from_dataset(open_netcdf(path, xr.load_dataset), where=str(path))

    @classmethod
    def from_dataset(cls: type[AnyResult], data: xr.Dataset, where: str) -> AnyResult:
        """Check that a data set is of this kind and wrap it.

        Raises:
            InputError: it is not.
        """
        kind = data.attrs.get("kind", "no result of tvlens")
        if kind != cls.__name__:
            raise InputError(f"{where} holds {kind}, expected {cls.__name__}.")
        return cls(data)

    def scores(self) -> pd.DataFrame:
        """The key numbers, a row each, with the columns `estimate`, `low`, `high` (95%)."""
        raise NotImplementedError(f"A {type(self).__name__} has no scores; look at its data.")

    def to_dataframe(self) -> pd.DataFrame:
        """Every number, a row each: `variable`, its labels, `value`.

        Labels that a variable does not have are empty; variables that hold no numbers are left out.
        For a table of one variable, or of those that share their labels, use xarray:
        `result.data[["icl", "tvp"]].to_dataframe()`.
        """
        tables = [
            (values if values.ndim else values.expand_dims("value_of"))
            .to_dataframe("value")
            .reset_index()
            .drop(columns="value_of", errors="ignore")
            .assign(variable=name)
            for name, values in self.data.data_vars.items()
            if values.dtype.kind in "biuf"
        ]
        table = pd.concat(tables, ignore_index=True)
        labels = [name for name in table if name not in ("variable", "value")]
        table[labels] = table[labels].convert_dtypes()
        return table.loc[:, ["variable", *labels, "value"]]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.data.sizes.items())
        return f"<tvlens.{type(self).__name__}: {sizes}>"

    def _ipython_display_(self) -> None:
        """What a notebook shows: the scores, and the figure as plotly shows it there."""
        from IPython.display import display

        display({"text/plain": repr(self), "text/html": self._scores_html()}, raw=True)
        drawn = self._figure()
        bundle = drawn._repr_mimebundle_() if drawn is not None else {}
        if bundle:  # Empty where nothing could show it.
            display(bundle, raw=True)

    def _repr_html_(self) -> str:
        """Scores and figure for all that is not IPython: heavy, and in need of nothing else."""
        drawn = self._figure()
        plot = "" if drawn is None else drawn.to_html(full_html=False, include_plotlyjs=True)
        return self._scores_html() + plot

    def _figure(self) -> Any:
        """The figure, or None of a kind that has none."""
        try:
            return figure(self)
        except NotImplementedError:
            return None

    def _scores_html(self) -> str:
        try:
            scores = self.scores()
        except NotImplementedError:
            return ""
        table = scores.to_html(border=0, float_format="{:.4g}".format, na_rep="")
        return f'<div style="overflow-x: auto">{table}</div>'


def open_netcdf(path: Path | str, load: Any) -> Any:
    """Read a netCDF file with one of xarray's loaders.

    Raises:
        InputError: the file is not there or is no netCDF file.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no file {path}.")
    try:
        return load(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a readable netCDF-4 file ({error}); it may have been cut off."
        ) from error
