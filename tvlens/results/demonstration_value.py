"""How many examples a task vector of a linear transformer is worth."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import interval, resampled_means, seed_resampled_means
from tvlens.results.ratios import score_table


class DemonstrationValue(Result):
    """Errors of contexts of 0 to n examples, and of task vectors without any, for models that
    differ in their seed (arXiv 2506.09048, figure 4c).

    Of single episodes, which are the same for all models:

    - `context` (metric, seed, episode, missing, examples): the last examples before the query.
      `missing` says what becomes of the other positions: `cut` off, or `empty` tokens.
    - `vectors` (metric, seed, episode, injection, source, number): the vectors of so many last
      arrows of a context of n examples, at the last arrows of a prompt without examples.
      `injection` is `Injection`; `source`: the context's `own`, of `another
      function`, `random` ones of the same lengths, and `zero`.

    `metric` is the task's `error`, or `direction`: `|p/|p| - y/|y||^2` of the prediction p, which
    is 2 - 2 cos(p, y), and 2 where p is 0, as for a direction at random. On one line
    (`CollinearRegression`) it is 4 where the sign is wrong and 0 where it is right.

    Attributes: `layer` (of `corrected` vectors), `task`.
    """

    def context_errors(self) -> xr.Dataset:
        """Mean errors of contexts over (metric, selection, missing, examples); see `errors`."""
        return _errors(self.data.context)

    def vector_errors(self) -> xr.Dataset:
        """Mean errors with vectors over (metric, selection, injection, source, number).

        `selection` says of which models: of `all seeds`, with intervals over seeds and episodes;
        or of the `best seed` of each cell, as the paper has it, with intervals over episodes: with
        many seeds, and few episodes, it is too good.
        """
        return _errors(self.data.vectors)

    def worth(self) -> xr.Dataset:
        """How many examples have the error of some vectors, over (metric, missing, injection,
        source, number): the place on the line through the errors of contexts, of which each is
        taken to be no worse than those of fewer examples; 0 where vectors are worse than no
        example, n where they are better than n.

        `estimate`, `low`, `high` (95% over seeds and episodes).
        """
        context, vectors = (_seeds_first(self.data[name]) for name in ("context", "vectors"))
        mean = (each.values.mean((0, 1)) for each in (context, vectors))
        resampled = (seed_resampled_means(each.values) for each in (context, vectors))
        estimate = _worth(*(each[None] for each in mean))[0]
        bounds = interval(_worth(*resampled))
        return label_bounds(self._worth_template(), estimate, *bounds)

    def worth_by_seed(self) -> xr.DataArray:
        """The same for each seed by itself, over (seed, metric, missing, injection, ..)."""
        context, vectors = (
            _seeds_first(self.data[name]).mean("episode") for name in ("context", "vectors")
        )
        template = self._worth_template().expand_dims(seed=self.data.seed)
        return template.copy(data=_worth(context.values, vectors.values))

    def scores(self) -> pd.DataFrame:
        """Key numbers over seeds and episodes.

        - `icl`, `one example`, `no example`: errors of contexts of n, 1 and 0 examples, cut.
        - `paper`, `corrected`: errors with one vector, and with all n + 1 of `.. all vectors`;
          `.. of another function`, `.. random`: controls of one vector.
        - `.. worth`: in examples.

        Each in both metrics, `direction` with its name.
        """
        contexts = self.context_errors().sel(selection="all seeds", missing="cut")
        errors, worth = self.vector_errors().sel(selection="all seeds"), self.worth()
        worth = worth.sel(missing="cut", source="own")
        rows = {}
        for metric in self.data.metric.values:
            label = "" if metric == "error" else f"{metric}, "
            of = contexts.sel(metric=metric)
            rows[f"{label}icl"] = of.isel(examples=-1)
            rows[f"{label}one example"] = of.sel(examples=1)
            rows[f"{label}no example"] = of.sel(examples=0)
            for injection in self.data.injection.values:
                cell = {"metric": metric, "injection": injection}
                own = errors.sel(cell)
                name = f"{label}{injection}"
                rows[name] = own.sel(source="own", number=1)
                rows[f"{name} all vectors"] = own.sel(source="own").isel(number=-1)
                rows[f"{name} of another function"] = own.sel(source="another function", number=1)
                rows[f"{name} random"] = own.sel(source="random", number=1)
                rows[f"{name} worth"] = worth.sel(cell).sel(number=1)
                rows[f"{name} all vectors worth"] = worth.sel(cell).isel(number=-1)
        return score_table(rows)

    def _worth_template(self) -> xr.DataArray:
        vectors = self.data.vectors.isel(seed=0, episode=0, drop=True)
        missing = self.data.context.missing
        return vectors.expand_dims(missing=missing).transpose("metric", "missing", ...)


def _errors(values: xr.DataArray) -> xr.Dataset:
    """Means over models, and that of the best, with their intervals."""
    ordered = _seeds_first(values)
    every, template = ordered.values, ordered.isel(seed=0, episode=0, drop=True)
    best = resampled_means(every.swapaxes(0, 1)).min(1)
    by_selection = {
        "all seeds": (every.mean((0, 1)), *interval(seed_resampled_means(every))),
        "best seed": (every.mean(1).min(0), *interval(best)),
    }
    parts = [label_bounds(template, *bounds) for bounds in by_selection.values()]
    return xr.concat(parts, pd.Index(list(by_selection), name="selection"))


def _seeds_first(values: xr.DataArray) -> xr.DataArray:
    return values.transpose("seed", "episode", "metric", ...)


def _worth(
    context: Float[np.ndarray, "draw metric missing examples"],
    vectors: Float[np.ndarray, "draw metric injection source number"],
) -> Float[np.ndarray, "draw metric missing injection source number"]:
    """Where errors lie on lines that fall, by linear interpolation."""
    falling = np.minimum.accumulate(context, axis=-1)[:, :, :, None, None, None]
    reached = falling <= vectors[:, :, None, ..., None]
    first = reached.argmax(-1)
    last = falling.shape[-1] - 1
    after = np.clip(first, 1, last)[..., None]
    shape = (*after.shape[:-1], last + 1)
    lines = np.broadcast_to(falling, shape)
    high, low = (np.take_along_axis(lines, each, -1)[..., 0] for each in (after - 1, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        place = after[..., 0] - 1 + (high - vectors[:, :, None]) / (high - low)
    within = np.where(first == 0, 0.0, place)
    return np.where(reached.any(-1), within, float(last))
