"""Errors of the same episodes under several shifts."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.base.errors import InputError
from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import interval, paired_difference, resampled_means

AnyErrors = TypeVar("AnyErrors", bound="ShiftedErrors")
MODEL_MODES = ("icl", "tvp")
MODES = (*MODEL_MODES, "zero_shot", "oracle")


class ShiftedErrors(Result):
    """What results of noise and of other shifts have in common.

    Variables over (episode, shift), in the task's error (0 is right, about 1 is knowing nothing):

    - `icl`: full context, asked its last query.
    - `tvp`: zero-shot prompt with the vector of that context, asked another query of the function.
    - `zero_shot`: the same prompt untouched.
    - `oracle`: the best predictor for the shift, or, where the coordinate `oracle_knows` is 0, for
      the unshifted task.

    Coordinates over shift (names): `examples`, the length of the context, and `oracle_knows`.

    Attributes: `layer`, `carrier`, `format`, `task`, `position_ids`, and `episodes`, which is equal
    for results of the same episodes.
    """

    def check_comparable(self, other: "ShiftedErrors") -> None:
        """Raise InputError unless both were measured on the same episodes."""
        if self.data.attrs["episodes"] != other.data.attrs["episodes"]:
            raise InputError(
                "Only results of the same episodes can be compared pair by pair: these were "
                f"measured on {self.data.attrs['task']} and {other.data.attrs['task']} with "
                "different episodes or draws. Give both analyses the same episodes and queries, "
                "and generators in the same state."
            )

    def compare(self, other: "ShiftedErrors") -> xr.Dataset:
        """How much larger this model's errors are than the other's: paired differences.

        Returns:
            `estimate`, `low`, `high`, `p`, `q` over (mode, shift), see `paired_difference`; q is
            adjusted for all of these cells, of which the attribute `cells` is the number.

        Raises:
            InputError: they were measured on different episodes or under different shifts.
        """
        self.check_comparable(other)
        first, second = (each.data[list(MODEL_MODES)].to_array("mode") for each in (self, other))
        result = paired_difference(first, second)
        return result.transpose("mode", "shift")

    def summary(self) -> xr.Dataset:
        """Means over episodes with 95% intervals, along `bound`, over (mode, shift)."""
        values = self.values(MODES)
        return self._labelled(values.mean(0), resampled_means(values), MODES)

    def values(self, modes: tuple[str, ...]) -> Float[np.ndarray, "episode mode shift"]:
        """Errors as one array."""
        array = self.data[list(modes)].to_array("mode")
        return array.transpose("episode", "mode", "shift").values.astype(float)

    def _labelled(
        self, estimate: np.ndarray, resampled: np.ndarray, modes: tuple[str, ...]
    ) -> xr.Dataset:
        """An estimate over (mode, shift) with the ends of its 95% interval."""
        template = self.data[list(modes)].isel(episode=0, drop=True).to_array("mode")
        template = template.transpose("mode", "shift")
        return label_bounds(template, estimate, *interval(resampled))


def same_test(result: "ShiftedErrors") -> tuple[str, str]:
    """Which episodes, in which format: results can be compared where this is the same."""
    return result.data.attrs["episodes"], result.data.attrs["format"]


def comparable_groups(results: Mapping[str, AnyErrors]) -> list[dict[str, AnyErrors]]:
    """Models that were asked the same episodes in the same format; the first is the reference."""
    groups: dict[tuple[str, str], dict[str, AnyErrors]] = {}
    for name, each in results.items():
        groups.setdefault(same_test(each), {})[name] = each
    return list(groups.values())


def comparable_pairs(results: Mapping[str, ShiftedErrors]) -> list[tuple[str, str]]:
    """Names of models to compare: each with the reference of its group."""
    groups = [list(group) for group in comparable_groups(results)]
    return [(name, group[0]) for group in groups for name in group[1:]]


def difference_table(results: Mapping[str, ShiftedErrors]) -> pd.DataFrame:
    """Differences of all comparable models: a row for each pair, mode and shift.

    Columns `model`, `minus`, `mode`, `shift`, `estimate`, `low`, `high`, `p`, `q` and `cells`, the
    number of differences that q accounts for.
    """
    tables = []
    for name, reference in comparable_pairs(results):
        differences = results[name].compare(results[reference])
        table = differences.to_dataframe()[["estimate", "low", "high", "p", "q"]].reset_index()
        table = table.assign(cells=differences.attrs["cells"])
        table.insert(0, "minus", reference)
        table.insert(0, "model", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
