"""How well can the task be read off a vector, whether or not the model reads it?"""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, UNTRAINED, asks
from tvlens.analysis.shared.probes import mean_predictions, neighbour_votes, ridge_predictions
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.results import Decodability, TaskVectors
from tvlens.subjects import Subject

LABELS = ["true", "shuffled"]


@asks(ONE_MODEL, CARRIER, LAYER, UNTRAINED)
def decodability(subject: Subject, *, functions: int = 100, contexts: int = 20) -> Decodability:
    """Probes for the task's parameters and for the function, beside what the vectors steer.

    What the arrays mean is in `Decodability`; all of it is computed with the true functions and, as
    a control, with shuffled ones.

    Args:
        subject: the model that is asked.
        functions: functions that vectors are read of: a probe is tested on functions that it was
            not fitted on.
        contexts: contexts of each function; more than the 10 nearest vectors, which vote.
    """
    found = measure_decodability(
        subject.vectors(functions, contexts),
        layer=subject.layer,
        generator=np.random.default_rng(subject.test.seed),
    )
    locality = measure_locality_map(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        untrained=subject.untrained_model,
        generator=subject.generator(),
    )
    return found.with_recovery(locality)


def measure_decodability(
    vectors: TaskVectors,
    *,
    layer: int,
    generator: np.random.Generator,
    folds: int = 5,
    neighbours: int = 10,
) -> Decodability:
    """The probes alone, of plain data.

    Args:
        vectors: several contexts of each of many functions: a linear probe is tested on functions
            that it was not fitted on.
        layer: the one that scores report.
        generator: shuffles the functions.
        folds: parts that the functions are divided into.
        neighbours: how many nearest vectors vote; each function needs more contexts.

    Raises:
        InputError: there are fewer than 3 folds, fewer functions than folds, not more contexts of a
            function than neighbours, or no such layer.
    """
    if folds < 3:
        raise InputError(f"Expected at least 3 folds, to fit, to choose and to test; got {folds}.")
    # With fewer contexts, a function could be outvoted by another that lies elsewhere.
    vectors.check_contexts(functions=folds, contexts=neighbours + 1)
    vectors.check_layer(layer)
    data = vectors.data
    names, function = np.unique(vectors.functions, return_inverse=True)
    targets = data.targets.transpose("episode", "target").values.astype(float)
    moved = _targets_of_others(targets, function, generator)
    both = np.concatenate([targets, moved], axis=1)
    labels = np.stack([function, generator.permutation(function)])
    fold = function % folds
    share = (function == np.arange(len(names))[:, None]) / np.bincount(function)[:, None]
    errors, votes = [], []
    cells = data.vectors.transpose("layer", "examples", "episode", "component")
    for cell in progress(cells.values.reshape(-1, *cells.shape[2:]), "probing"):
        errors.append(share @ (ridge_predictions(cell, both, fold) - both) ** 2)
        votes.append(share @ neighbour_votes(cell, labels, neighbours).T)
    grid = cells.shape[:2]
    result = xr.Dataset(
        {
            "squared_error": (
                ("layer", "examples", "function", "labels", "target"),
                np.reshape(errors, (*grid, len(names), 2, -1)),
            ),
            "baseline_error": (
                ("function", "labels", "target"),
                (share @ (mean_predictions(both, fold) - both) ** 2).reshape(len(names), 2, -1),
            ),
            "knn": (
                ("layer", "examples", "function", "labels"),
                np.reshape(votes, (*grid, len(names), 2)),
            ),
        },
        coords={
            "layer": data.layer.values,
            "examples": data.examples.values,
            "labels": LABELS,
            "target": data.target.values,
            "function": names,
        },
        attrs=data.attrs | {"layer": layer, "folds": folds, "neighbours": neighbours},
    )
    if "best_estimates" in data:
        result = result.merge(_estimates(data, targets, function, share, neighbours))
    return Decodability(result)


def _targets_of_others(
    targets: Float[np.ndarray, "episode target"],
    function: Int[np.ndarray, " episode"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "episode target"]:
    """To each function the targets of another, the same for all of its contexts."""
    first = np.unique(function, return_index=True)[1]
    cycle = generator.permutation(len(first))
    others = np.empty_like(cycle)
    others[cycle] = np.roll(cycle, 1)  # A permutation alone would leave some where they are.
    return targets[first][others][function]


def _estimates(
    data: xr.Dataset,
    targets: Float[np.ndarray, "episode target"],
    function: Int[np.ndarray, " episode"],
    share: Float[np.ndarray, "function episode"],
    neighbours: int,
) -> xr.Dataset:
    """What the best estimates of the targets are worth, in place of vectors."""
    estimates = data.best_estimates.transpose("examples", "episode", "target").values.astype(float)
    errors = np.stack([share @ (each - targets) ** 2 for each in estimates])
    votes = [share @ neighbour_votes(each, function[None], neighbours)[0] for each in estimates]
    return xr.Dataset(
        {
            "estimate_error": (("examples", "function", "target"), errors),
            "estimate_knn": (("examples", "function"), np.stack(votes)),
        }
    )
