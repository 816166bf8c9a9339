"""How the task vectors of different functions lie to each other."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import interval, jackknife_interval, resampled_means
from tvlens.results.ratios import score_table

AXES = 3
"""Principal components that are kept for figures, and that the second silhouette is taken in."""
SHUFFLED = "shuffled"


class Geometry(Result):
    """Principal components and clusters of the task vectors of several contexts per function.

    All variables have the dimension layer, and are nan at a layer where all vectors are the same,
    as at the embedded z.

    - `scores` (episode, axis): coordinates along the first principal components. The coordinate
      `function_of` (episode) tells the function.
    - `explained` (pc): share of the variance along each component.

    With the true functions and, as a control, with functions shuffled among the episodes (dimension
    `labels`: true, shuffled):

    - `mean` (function, pc): mean of the function's vectors, along the principal components.
    - `within` (function, pc): mean squared distance from it.
    - `silhouette` (function, space): mean silhouette of its vectors (Rousseeuw 1987), with all
      components and with the first three.
    - `cosine_within`, `cosine_between` (function): mean cosine distance of its vectors to each
      other, and to those of other functions; of the vectors as they are, not centred.
    - `effective_dimension` (of): (sum s^2)^2 / sum s^4 with the singular values s of the centred
      vectors, or of the centred function means.
    - `effective_dimension_without` (function, of): the same, if this function is left out.

    Without the dimension layer: `size` (function), how many contexts; `params` (function, param),
    with the coordinate `period` (param): after how much a param means the same again.

    Attributes: `layer` that the scores are of, number of `examples`, and those of `TaskVectors`.
    """

    def eta2(self) -> xr.Dataset:
        """Share of the variance that lies between functions: 1 if a vector tells nothing else.

        Trace of the covariance of function means over trace of the total covariance. Variables
        `estimate`, `low`, `high` over (labels, layer). The interval is by jackknife: with 20
        functions it holds the truth in 92 to 95% of cases, that of the bootstrap in 84 to 91%.
        """
        return self._between_share(lambda traces: traces.sum(-1, keepdims=True)).isel(pc=0)

    def eta2_of_components(self) -> xr.Dataset:
        """The same along each principal component, over (labels, layer, pc)."""
        return self._between_share(lambda traces: traces)

    def chance(self) -> float:
        """What eta2 is expected to be for shuffled functions: (T - 1) / (N - 1), T of N vectors."""
        sizes = self.data["size"].values
        return float((len(sizes) - 1) / (sizes.sum() - 1))

    def silhouette(self) -> xr.Dataset:
        """Mean silhouette over functions: `estimate`, `low`, `high` over (labels, layer, space)."""
        values = self.data.silhouette.transpose("function", "labels", "layer", "space")
        low, high = interval(resampled_means(values.values))
        return label_bounds(values.isel(function=0, drop=True), values.values.mean(0), low, high)

    def cosine_ratio(self) -> xr.Dataset:
        """Mean cosine distance within a function over that between functions: 0 for tight clusters,
        1 if functions make no difference. `estimate`, `low`, `high` over (labels, layer).
        """
        dimensions = ("function", "labels", "layer")
        within, between = (
            self.data[f"cosine_{kind}"].transpose(*dimensions) for kind in ("within", "between")
        )
        low, high = interval(resampled_means(within.values) / resampled_means(between.values))
        return label_bounds(
            within.isel(function=0, drop=True),
            within.values.mean(0) / between.values.mean(0),
            low,
            high,
        )

    def effective_dimension(self) -> xr.Dataset:
        """`estimate`, `low`, `high` over (labels, layer, of), the interval by jackknife.

        Of T functions with Gaussian means in d dimensions it is (d (T - 1) + 2) / (T + d), less
        than d; compare models at equal numbers of functions.
        """
        dimensions = ("labels", "layer", "of")
        estimate = self.data.effective_dimension.transpose(*dimensions)
        without = self.data.effective_dimension_without.transpose("function", *dimensions)
        low, high = jackknife_interval(estimate.values, without.values)
        return label_bounds(estimate, estimate.values, low, high)

    def scores(self) -> pd.DataFrame:
        """At the chosen layer, a row each, with 95% intervals over functions.

        - `eta2`: share of the variance between functions; `eta2_of_pc1` along the first component.
        - `silhouette`, `silhouette_in_3_pcs`: of the clusters of functions.
        - `cosine_ratio`: distance within over distance between functions.
        - `effective_dimension` of all vectors, `effective_dimension_of_means` of the functions'.
        - `shuffled_eta2`, `shuffled_silhouette`, `shuffled_cosine_ratio`: controls.
        """
        eta2, silhouette, cosine = self.eta2(), self.silhouette(), self.cosine_ratio()
        dimension = self.effective_dimension()
        whole, first = silhouette.isel(space=0), silhouette.isel(space=1)
        rows = {
            "eta2": eta2.sel(labels="true"),
            "eta2_of_pc1": self.eta2_of_components().sel(labels="true").isel(pc=0),
            "silhouette": whole.sel(labels="true"),
            "silhouette_in_3_pcs": first.sel(labels="true"),
            "cosine_ratio": cosine.sel(labels="true"),
            "effective_dimension": dimension.sel(labels="true", of="vectors"),
            "effective_dimension_of_means": dimension.sel(labels="true", of="means"),
            "shuffled_eta2": eta2.sel(labels=SHUFFLED),
            "shuffled_silhouette": whole.sel(labels=SHUFFLED),
            "shuffled_cosine_ratio": cosine.sel(labels=SHUFFLED),
        }
        layer = self.data.attrs["layer"]
        return score_table({name: each.sel(layer=layer) for name, each in rows.items()})

    def _between_share(self, pool: Callable[[np.ndarray], np.ndarray]) -> xr.Dataset:
        """Between over total of the pooled variances along the components."""
        dimensions = ("function", "labels", "layer", "pc")
        mean, within = (self.data[name].transpose(*dimensions) for name in ("mean", "within"))
        size = self.data["size"].values.reshape(-1, 1, 1, 1).astype(float)
        parts = [size, size * mean.values, size * mean.values**2, size * within.values]

        def share(parts: list[np.ndarray]) -> np.ndarray:
            size, first, second, spread = parts
            between = pool(second / size - (first / size) ** 2)
            total = between + pool(spread / size)
            return between / np.where(total > 0, total, np.nan)

        estimate = share([each.sum(0) for each in parts])
        low, high = jackknife_interval(estimate, share([each.sum(0) - each for each in parts]))
        template = mean.isel(function=0, pc=slice(estimate.shape[-1]), drop=True)
        return label_bounds(template, estimate, low, high)


def effective_dimension(vectors: Float[np.ndarray, "point component"]) -> float:
    """How many directions the centred vectors spread over: (sum s^2)^2 / sum s^4."""
    centred = vectors - vectors.mean(0)
    smaller = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    total, square = np.trace(smaller), (smaller**2).sum()
    return float(total**2 / square) if square > 0 else np.nan
