"""Runs of several results as one."""

from collections.abc import Sequence

import xarray as xr

from tvlens.base.errors import InputError
from tvlens.results.base import Result

SAME = ("d", "task", "examples", "episodes")
"""Attributes that results have to agree in to be compared run by run."""


def runs_together(results: Sequence[Result], kind: Sequence[str]) -> xr.Dataset:
    """The runs of several results, one after the other.

    Args:
        results: of linear transformers, on the same episodes.
        kind: labels of a run that make its kind; all runs of a kind are of one result.

    Raises:
        InputError: there are no results, they are not of the same episodes and task, or two of them
            have runs of one kind.
    """
    tests = {tuple(each.data.attrs.get(name) for name in SAME) for each in results}
    if len(tests) != 1:
        raise InputError(
            f"Expected results on the same episodes of one task, got {len(results)} results of "
            f"{len(tests)} different tests. Test all models with one `Test`."
        )
    kinds = [run for each in results for run in set(_kinds(each, kind))]
    twice = {run for run in kinds if kinds.count(run) > 1}
    if twice:
        raise InputError(f"Two results are of models of one kind: {sorted(twice)[0]}. Give one.")
    return xr.concat(
        [each.data for each in results],
        "run",
        coords="minimal",
        compat="override",
        combine_attrs="drop_conflicts",
    )


def _kinds(result: Result, kind: Sequence[str]) -> list[tuple]:
    return list(zip(*(result.data[name].values.tolist() for name in kind), strict=True))
