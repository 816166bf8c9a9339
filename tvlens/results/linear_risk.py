"""Risks of linear transformers by format, depth and number of examples."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import interval, seed_resampled_means
from tvlens.results.ratios import mean_over_seeds

CELL = ["format", "layers", "examples"]
"""What models differ in, beside their seed."""


class LinearRisk(Result):
    """Errors of linear transformers on the same episodes.

    - `error` (run, episode): the task's error of the answer to the last example, risk / d^2 for
      regressions of y = W x. A run has the labels `format`, `layers`, `examples` and `seed`.
    - `optimum` (run): the least R that is proven for the run's kind, nan where none is.

    R is d times the error, the scale of Dong et al. (arXiv 2506.09048, appendix A.4): d for a model
    that knows nothing.

    Attributes: `d`, `task`.
    """

    def cell(self, format: str, layers: int, examples: int) -> Float[np.ndarray, "seed episode"]:
        """R of all seeds of one kind; none if there is no such model."""
        error = self.data.error
        chosen = (error.format == format) & (error.layers == layers) & (error.examples == examples)
        return self.data.attrs["d"] * error.transpose("run", "episode").values[chosen.values]

    def table(self) -> pd.DataFrame:
        """R by format, layers and examples.

        Columns: `estimate`, `low`, `high` (mean, 95% over seeds and episodes), `best` (of the best
        seed, which the paper reports; chosen on these very episodes), `seeds` and `optimum`.
        """
        rows = {}
        for key, group in self.data.optimum.to_dataframe().groupby(CELL):
            values = self.cell(*key)
            best, optimum = values.mean(1).min(), group.optimum.iloc[0]
            rows[key] = (*mean_over_seeds(values), best, len(values), optimum)
        columns = [*BOUNDS, "best", "seeds", "optimum"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table.index = pd.MultiIndex.from_tuples(rows, names=CELL)
        return table

    def scores(self) -> pd.DataFrame:
        """Mean R of every kind of model, named `format-layersxexamples`."""
        table = self.table()[list(BOUNDS)]
        names = [
            f"{format}-{layers}x{examples}" for format, layers, examples in table.index.to_list()
        ]
        return table.set_index(pd.Index(names))

    def order(self) -> pd.DataFrame:
        """Differences of R that say how formats and depths compare, by `claim` and `examples`.

        - `S(L) < P(L)`: R of pairs minus that of single tokens; likewise `P(L) < S(L-1)` and
          `T(L) < S(L-1)`. A claim holds where the difference is positive.
        - `|P(L) - T(L)| / P(L)`: relative, absolute. Its interval is nearly always above 0.

        Intervals are 95% over seeds and episodes; the episodes are the same for both sides.
        """
        rows = {}
        kinds = sorted({(layers, n) for _, layers, n in self.table().index})
        for layers, n in kinds:
            single, pairs, triplets = (
                self.cell(format, layers, n) for format in ("single", "pairwise", "triplet")
            )
            shallower = self.cell("single", layers - 1, n)
            claims = {
                f"S({layers}) < P({layers})": (pairs, single),
                f"P({layers}) < S({layers - 1})": (shallower, pairs),
                f"T({layers}) < S({layers - 1})": (shallower, triplets),
            }
            for claim, (larger, smaller) in claims.items():
                if len(larger) and len(smaller):
                    drawn = seed_resampled_means(larger) - seed_resampled_means(smaller)
                    estimate = larger.mean() - smaller.mean()
                    rows[claim, n] = (estimate, *interval(drawn))
            if len(pairs) and len(triplets):
                estimate = abs(1 - triplets.mean() / pairs.mean())
                drawn = 1 - seed_resampled_means(triplets) / seed_resampled_means(pairs)
                claim = f"|P({layers}) - T({layers})| / P({layers})"
                rows[claim, n] = (estimate, *interval(np.abs(drawn)))
        index = pd.MultiIndex.from_tuples(rows, names=["claim", "examples"])
        return pd.DataFrame(list(rows.values()), index=index, columns=list(BOUNDS))

    def seed_means(self) -> xr.DataArray:
        """R of every run."""
        return self.data.attrs["d"] * self.data.error.mean("episode")
