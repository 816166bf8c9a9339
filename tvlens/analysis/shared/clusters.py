"""Principal components and clusters of task vectors."""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples
from sklearn.preprocessing import normalize

from tvlens.base.progress import progress
from tvlens.results import Geometry, TaskVectors
from tvlens.results.geometry import AXES, effective_dimension

_DIMENSIONS = {
    "mean": ("function", "pc"),
    "within": ("function", "pc"),
    "silhouette": ("function", "space"),
    "cosine_within": ("function",),
    "cosine_between": ("function",),
    "effective_dimension": ("of",),
    "effective_dimension_without": ("function", "of"),
}

Vectors = Float[np.ndarray, "episode component"]
Labels = Int[np.ndarray, " episode"]


def measure_geometry(
    vectors: TaskVectors,
    *,
    layer: int,
    examples: int | None = None,
    generator: np.random.Generator,
) -> Geometry:
    """Principal components and clusters of task vectors at every layer.

    What the arrays mean is in `Geometry`; all of it is computed with the true functions and, as a
    control, with functions shuffled among the episodes.

    Args:
        vectors: several contexts of each of several functions.
        layer: which the scores are of, and which figures show first.
        examples: length of the contexts; the longest if None.
        generator: shuffles the functions.

    Raises:
        InputError: there are fewer than 2 functions, a function has a single context, or there is
            no such layer or length.
    """
    vectors.check_contexts(functions=2, contexts=2)
    chosen = vectors.after(examples)
    vectors.check_layer(layer)
    names, labels, sizes = np.unique(vectors.functions, return_inverse=True, return_counts=True)
    labellings = {"true": labels, "shuffled": generator.permutation(labels)}
    layers = [
        _layer(chosen.sel(layer=each, drop=True).values, labellings)
        for each in progress(chosen.layer.values, "geometry")
    ]
    data = xr.concat(layers, xr.Variable("layer", chosen.layer.values))
    first = [int(np.argmax(labels == label)) for label in range(len(names))]
    data["size"] = ("function", sizes)
    data["params"] = vectors.data.params[first].drop_vars("function").rename(episode="function")
    data = data.assign_coords(function=names, function_of=("episode", names[labels]))
    facts = {"layer": layer, "examples": int(chosen.examples)}
    return Geometry(data.assign_attrs(vectors.data.attrs | facts))


def _layer(vectors: Vectors, labellings: dict[str, Labels]) -> xr.Dataset:
    """All of one layer; nan where its vectors are all the same."""
    centred = vectors.astype(float) - vectors.mean(0, dtype=float)
    if np.abs(centred).max() <= 1e-6 * np.abs(vectors).max():
        centred = np.full_like(centred, np.nan)
    pcs, shares = _principal_components(centred)
    statistics = [_statistics(vectors, pcs, labels) for labels in labellings.values()]
    result = xr.concat(statistics, xr.Variable("labels", list(labellings)))
    result["scores"] = (("episode", "axis"), pcs[:, :AXES])
    result["explained"] = ("pc", shares)
    return result


def _principal_components(
    centred: Vectors,
) -> tuple[Float[np.ndarray, "episode pc"], Float[np.ndarray, " pc"]]:
    """Coordinates along the principal axes, and the share of the variance of each."""
    count = min(centred.shape)
    if np.isnan(centred).any():
        return np.full((len(centred), count), np.nan), np.full(count, np.nan)
    pca = PCA(count, svd_solver="full").fit(centred)
    return pca.transform(centred), pca.explained_variance_ratio_


def _statistics(
    vectors: Vectors, pcs: Float[np.ndarray, "episode pc"], labels: Labels
) -> xr.Dataset:
    """What depends on which episodes belong together."""
    sizes = np.bincount(labels)
    members = (labels == np.arange(len(sizes))[:, None]).astype(float)
    share = members / sizes[:, None]
    means = share @ pcs
    within, between = _cosine_distances(vectors, members)
    spaces = {"all components": pcs, f"first {AXES}": pcs[:, :AXES]}
    values = {
        "mean": means,
        "within": share @ (pcs - means[labels]) ** 2,
        "silhouette": np.stack([share @ _silhouettes(each, labels) for each in spaces.values()], 1),
        "cosine_within": within,
        "cosine_between": between,
        "effective_dimension": np.array([effective_dimension(pcs), effective_dimension(means)]),
        "effective_dimension_without": np.array(
            [
                (effective_dimension(pcs[labels != each]), effective_dimension(means[others]))
                for each in range(len(sizes))
                for others in [np.arange(len(sizes)) != each]
            ]
        ),
    }
    if np.isnan(pcs).any():
        values = {name: np.full_like(value, np.nan) for name, value in values.items()}
    arrays = {name: (_DIMENSIONS[name], value) for name, value in values.items()}
    return xr.Dataset(arrays, {"space": list(spaces), "of": ["vectors", "means"]})


def _silhouettes(
    points: Float[np.ndarray, "episode component"], labels: Labels
) -> Float[np.ndarray, " episode"]:
    if np.isnan(points).any():
        return np.full(len(points), np.nan)
    return np.asarray(silhouette_samples(points, labels))


def _cosine_distances(
    vectors: Vectors, members: Float[np.ndarray, "function episode"]
) -> tuple[Float[np.ndarray, " function"], Float[np.ndarray, " function"]]:
    """Mean distance of a function's vectors to each other, and to those of the other functions.

    The mean cosine over pairs of unit vectors follows from their sums.
    """
    units = np.asarray(normalize(vectors.astype(float)))
    sums, sizes = members @ units, members.sum(1)
    own = (sums**2).sum(1)
    alike = (own - members @ (units**2).sum(1)) / (sizes * (sizes - 1))
    other = (sums @ sums.sum(0) - own) / (sizes * (sizes.sum() - sizes))
    return 1 - alike, 1 - other
