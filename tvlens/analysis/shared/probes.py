"""Probes of vectors, always tested on what they were not fitted on."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from tvlens.base.errors import InputError

PENALTIES = np.logspace(-8, 4, 13)
"""Of the ridge regression, in units of the mean variance of a component."""


def ridge_predictions(
    vectors: Float[np.ndarray, "episode component"],
    targets: Float[np.ndarray, "episode target"],
    folds: Int[np.ndarray, " episode"],
) -> Float[np.ndarray, "episode target"]:
    """Predictions of each fold by a ridge regression that was fitted on the other folds.

    The penalty of each target is the one that predicts best when each of those other folds is in
    turn left out of the fit. So a fold has no say in its own predictions, and what belongs together
    (contexts of one function) should be in one fold. All fits follow from the folds' sums of
    products, which makes this far faster than fitting each.

    Args:
        folds: the number of the fold of each episode; at least 3 folds.
    """
    vectors = vectors.astype(float) - vectors.mean(0, dtype=float)
    rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    sums = np.stack([_products(vectors[each], targets[each]) for each in rows])
    predictions = np.empty(targets.shape)
    for held_out, test in enumerate(rows):
        fitted = [fold for fold in range(len(rows)) if fold != held_out]
        errors = 0.0
        for validated in fitted:
            others = [fold for fold in fitted if fold != validated]
            path = _ridge_path(sums[others].sum(0), vectors[rows[validated]])
            errors = errors + ((path - targets[rows[validated]]) ** 2).sum(1)
        path = _ridge_path(sums[fitted].sum(0), vectors[test])
        best = np.argmin(errors, axis=0)
        predictions[test] = np.take_along_axis(path, best[None, None, :], axis=0)[0]
    return predictions


def mean_predictions(
    targets: Float[np.ndarray, "episode target"], folds: Int[np.ndarray, " episode"]
) -> Float[np.ndarray, "episode target"]:
    """What a probe predicts that looks at no vector: the mean of the other folds."""
    predictions = np.empty(targets.shape)
    for fold in np.unique(folds):
        predictions[folds == fold] = targets[folds != fold].mean(0)
    return predictions


def neighbour_votes(
    vectors: Float[np.ndarray, "episode component"],
    labels: Int[np.ndarray, "labelling episode"],
    neighbours: int,
) -> Float[np.ndarray, "labelling episode"]:
    """Whether the nearest other vectors vote for an episode's own label: 1 or 0.

    Where several labels have the most votes, the own one scores its share of them.

    Args:
        labels: 0, 1, 2, .. for each episode; several ways to label the same vectors.
        neighbours: how many vote.

    Raises:
        InputError: there are not more vectors than neighbours.
    """
    if len(vectors) <= neighbours:
        raise InputError(
            f"{neighbours} neighbours cannot be found among {len(vectors)} vectors; give fewer "
            f"neighbours or more contexts."
        )
    centred = vectors.astype(float) - vectors.mean(0, dtype=float)
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(centred)
    voters = nearest.kneighbors(return_distance=False)
    return np.stack([_right_share(each[voters], each) for each in labels])


def _right_share(
    votes: Int[np.ndarray, "episode neighbour"], labels: Int[np.ndarray, " episode"]
) -> Float[np.ndarray, " episode"]:
    episodes = np.arange(len(labels))
    counts = np.zeros((len(labels), labels.max() + 1), dtype=int)
    np.add.at(counts, (episodes[:, None], votes), 1)
    winners = counts == counts.max(1, keepdims=True)
    return winners[episodes, labels] / winners.sum(1)


def _products(
    vectors: Float[np.ndarray, "episode component"], targets: Float[np.ndarray, "episode target"]
) -> Float[np.ndarray, "column column"]:
    """Sums over episodes of all products of a 1, the components and the targets."""
    columns = np.column_stack([np.ones(len(vectors)), vectors, targets])
    return columns.T @ columns


def _ridge_path(
    products: Float[np.ndarray, "column column"], vectors: Float[np.ndarray, "episode component"]
) -> Float[np.ndarray, "penalty episode target"]:
    """What regressions with each penalty predict, fitted on episodes with these products."""
    width = vectors.shape[1] + 1
    count, means = products[0, 0], products[0] / products[0, 0]
    centred = products - count * np.outer(means, means)
    variances, axes = np.linalg.eigh(centred[1:width, 1:width])
    variances = np.maximum(variances, 0)
    penalties = PENALTIES * (variances.mean() or 1.0)
    slopes = (axes.T @ centred[1:width, width:]) / (variances + penalties[:, None])[..., None]
    return means[width:] + ((vectors - means[1:width]) @ axes) @ slopes
