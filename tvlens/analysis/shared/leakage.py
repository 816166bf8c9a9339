"""How well can what a task vector should not hold be read off it?"""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from sklearn.model_selection import GroupKFold
from torch import Generator

from tvlens.analysis.shared.probes import mean_predictions, ridge_predictions
from tvlens.base.progress import progress
from tvlens.results import TaskVectors

FOLDS = 5
"""Parts that the functions are divided into: a ridge regression is fitted on all but one."""


def leakage(vectors: TaskVectors, generator: Generator) -> xr.Dataset:
    """Held-out squared errors of ridge regressions from the vectors to what they should not hold.

    The nuisances are the `last x` and `last y` before the carrier and the x of the `query`, from
    the vectors of the longest context, and the number of `examples`, from those of all lengths but
    0. Regressions are tested on functions that they were not fitted on.

    Args:
        vectors: of several contexts of each of at least `FOLDS` functions.
        generator: shuffles nuisances among contexts of one function: the control, which keeps all
            that the function itself tells about a nuisance.

    Returns:
        Sums over the contexts of a function: `residual`, `shuffled_residual` (function, layer,
        nuisance), and `spread` (function, nuisance): squared deviations from the mean of the
        functions fitted.
    """
    data, functions = vectors.data, vectors.functions
    seen, asked = data.isel(examples=-2), data.isel(examples=-1)  # Which x, y: see TaskVectors.
    nuisances = {"last x": seen.x.values, "last y": seen.y.values, "query": asked.x.values}
    at_longest = _probe(vectors.after().values, nuisances, functions, generator)
    some = data.vectors.isel(examples=data.examples > 0)
    rows = some.transpose("episode", "examples", "layer", "component").values
    lengths = np.tile(some.examples.values.astype(float), len(rows))[:, None]
    repeated = np.repeat(functions, rows.shape[1])
    pooled = _probe(rows.reshape(-1, *rows.shape[2:]), {"examples": lengths}, repeated, generator)
    return xr.concat([at_longest, pooled], "nuisance")


def _probe(
    vectors: Float[np.ndarray, "row layer component"],
    nuisances: Mapping[str, Float[np.ndarray, "row _"]],
    functions: Int[np.ndarray, " row"],
    generator: Generator,
) -> xr.Dataset:
    """Held-out squared errors by function, for nuisances as they are and shuffled."""
    shuffle = _shuffle_within(functions, generator)
    targets = np.concatenate(list(nuisances.values()), axis=1).astype(float)
    both = np.concatenate([targets, targets[shuffle]], axis=1)
    widths = [each.shape[1] for each in nuisances.values()]
    folds = _folds(functions)
    _, index = np.unique(functions, return_inverse=True)

    def by_function(squares: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "function _"]:
        sums = _sum_blocks(squares, widths).T
        return np.stack([np.bincount(index, each) for each in sums], axis=1)

    residuals = {"residual": [], "shuffled_residual": []}
    for layer in progress(range(vectors.shape[1]), "fitting nuisances"):
        predicted = ridge_predictions(vectors[:, layer], both, folds)
        for name, part in zip(residuals, np.split((both - predicted) ** 2, 2, axis=1), strict=True):
            residuals[name].append(by_function(part))
    deviations = targets - mean_predictions(targets, folds)
    dims = ("function", "layer", "nuisance")
    return xr.Dataset(
        {name: (dims, np.stack(each, axis=1)) for name, each in residuals.items()}
        | {"spread": (("function", "nuisance"), by_function(deviations**2))},
        coords={"nuisance": list(nuisances)},
    )


def _folds(functions: Int[np.ndarray, " row"]) -> Int[np.ndarray, " row"]:
    """The part of each row; all rows of a function are in one."""
    folds = np.empty(len(functions), dtype=int)
    for fold, (_, test) in enumerate(GroupKFold(FOLDS).split(functions, groups=functions)):
        folds[test] = fold
    return folds


def _sum_blocks(
    squares: Float[np.ndarray, "row column"], widths: list[int]
) -> Float[np.ndarray, "row block"]:
    """Sums over columns that belong together."""
    ends = np.cumsum(widths)[:-1]
    return np.stack([each.sum(1) for each in np.split(squares, ends, axis=1)], axis=1)


def _shuffle_within(
    functions: Int[np.ndarray, " row"], generator: Generator
) -> Int[np.ndarray, " row"]:
    """A random order of the rows that keeps every row's function."""
    keys = torch.rand(len(functions), generator=generator, device=generator.device).cpu().numpy()
    order = np.empty(len(functions), dtype=int)
    order[np.argsort(functions, kind="stable")] = np.lexsort((keys, functions))
    return order
