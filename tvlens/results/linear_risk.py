"""Risks of linear transformers by format, depth and number of examples."""

import enum
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import group_means, interval
from tvlens.results.ratios import mean_over_seeds
from tvlens.results.together import runs_together

CELL = ["format", "layers", "examples"]
"""What models differ in, beside their seed."""


class Seeds(enum.StrEnum):
    """Of which seeds of each kind a risk is."""

    ALL = "all"
    """What training does reach."""
    BEST = "best"
    """What it can reach: the seed that is best on every second episode, on the others."""
    BEST_AS_PAPER = "best, as the paper"
    """The seed that is best, on the very episodes that it was chosen on: a little too low."""


class LinearRisk(Result):
    """Errors of linear transformers on the same episodes.

    - `error` (run, episode): the task's error of the answer to the last example, risk / d^2 for
      regressions of y = W x. A run has the labels `format`, `layers`, `examples` and `seed`.
    - `optimum` (run): the least R that is proven for the run's kind, nan where none is.

    R is d times the error, the scale of Dong et al. (arXiv 2506.09048, appendix A.4): d for a model
    that knows nothing.

    Attributes: `d`, `task`, `episodes` (a digest of them).
    """

    @classmethod
    def together(cls, results: "Sequence[LinearRisk]") -> "LinearRisk":
        """The runs of models of several kinds on the same episodes as one result.

        Raises:
            InputError: they are of other episodes, or two of them of one kind.
        """
        return cls(runs_together(results, CELL))

    def cell(self, format: str, layers: int, examples: int) -> Float[np.ndarray, "seed episode"]:
        """R of all seeds of one kind; none if there is no such model."""
        error = self.data.error
        chosen = (error.format == format) & (error.layers == layers) & (error.examples == examples)
        return self.data.attrs["d"] * error.transpose("run", "episode").values[chosen.values]

    def table(self) -> pd.DataFrame:
        """R by format, layers and examples.

        Columns: `estimate`, `low`, `high` (mean, 95% over seeds and episodes), `best` and
        `best_as_paper` (`Seeds`), `seeds` (how many) and `optimum`.
        """
        rows = {}
        for key, group in self.data.optimum.to_dataframe().groupby(CELL):
            values = self.cell(*key)
            best = [_of_seeds(values, each).mean() for each in (Seeds.BEST, Seeds.BEST_AS_PAPER)]
            optimum = group.optimum.iloc[0]
            rows[key] = (*mean_over_seeds(values), *best, len(values), optimum)
        columns = [*BOUNDS, "best", "best_as_paper", "seeds", "optimum"]
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
        """Differences of R by `claim`, `examples` and `seeds`: how formats and depths compare.

        - `S(L) < P(L)`: R of pairs minus that of single tokens; likewise `P(L) < S(L-1)` and
          `T(L) < S(L-1)`. A claim holds where the difference is positive.
        - `P(L) = T(L): relative difference`: (P - T) / P, positive where triplets are better. It
          is shown where the interval is near 0 on both sides.

        They are of all seeds of each kind, and of the best one only (`Seeds`). Intervals are 95%
        over seeds and episodes; the episodes are the same for both sides. That of best seeds takes
        the choice as given.
        """
        rows = {}
        kinds = sorted({(layers, n) for _, layers, n in self.table().index})
        for layers, n in kinds:
            everything = [
                self.cell(*kind, n)
                for kind in (
                    ("single", layers),
                    ("pairwise", layers),
                    ("triplet", layers),
                    ("single", layers - 1),
                )
            ]
            for seeds in Seeds:
                cells = [_of_seeds(values, seeds) for values in everything]
                for claim, values in _compared(layers, *cells).items():
                    rows[claim, n, seeds.value] = values
        index = pd.MultiIndex.from_tuples(rows, names=["claim", "examples", "seeds"])
        return pd.DataFrame(list(rows.values()), index=index, columns=list(BOUNDS))

    def seed_means(self) -> xr.DataArray:
        """R of every run."""
        return self.data.attrs["d"] * self.data.error.mean("episode")


Errors = Float[np.ndarray, "_ episode"]


def _of_seeds(values: Errors, seeds: Seeds) -> Float[np.ndarray, "_ asked"]:
    """Those seeds and the episodes that they are asked on; none of none."""
    if seeds is Seeds.ALL:
        return values
    as_paper = seeds is Seeds.BEST_AS_PAPER
    choose, ask = (values, values) if as_paper else (values[:, ::2], values[:, 1::2])
    return ask[[choose.mean(1).argmin()]] if len(values) else ask


def _compared(
    layers: int, single: Errors, pairs: Errors, triplets: Errors, shallower: Errors
) -> dict[str, tuple[float, float, float]]:
    """Estimate and interval of each comparison whose sides are there."""
    differences = {
        f"S({layers}) < P({layers})": (pairs, single),
        f"P({layers}) < S({layers - 1})": (shallower, pairs),
        f"T({layers}) < S({layers - 1})": (shallower, triplets),
    }
    found = {}
    for claim, (larger, smaller) in differences.items():
        if len(larger) and len(smaller):
            of_larger, of_smaller = group_means(larger, smaller)
            estimate = float(larger.mean() - smaller.mean())
            found[claim] = (estimate, *interval(of_larger - of_smaller))
    if len(pairs) and len(triplets):
        of_pairs, of_triplets = group_means(pairs, triplets)
        estimate = float(1 - triplets.mean() / pairs.mean())
        claim = f"P({layers}) = T({layers}): relative difference"
        found[claim] = (estimate, *interval(1 - of_triplets / of_pairs))
    return found
