"""Risks of linear transformers under the token dropout that they are trained with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.base.errors import InputError
from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import group_means, interval
from tvlens.results.ratios import mean_over_seeds, score_table
from tvlens.results.together import runs_together

CELL = ["format", "keep"]
"""What models differ in, beside their seed."""


class DropoutRisk(Result):
    """Errors of pairs and triplets with tokens dropped as in training, and with none.

    - `dropped`, `whole` (run, episode): the task's error, risk / d^2. A run has the labels
      `format`, `keep` (probability that a token stays), `seed` and `config` (of the model).
    - `optimum` (run): the least R under `DropoutKind.INPUT` of models with C_1 = 0, nan where it is
      not of such models. Models that compare inputs in their first layer may be better.

    R is d times the error. Attributes: `d`, `examples`, `task`, `episodes` (a digest of them).
    """

    @classmethod
    def together(cls, results: "Sequence[DropoutRisk]") -> "DropoutRisk":
        """The runs of models of several kinds on the same episodes as one result.

        Raises:
            InputError: they are of other episodes, two of them of one kind, or models of one keep
                differ in more than format and seed.
        """
        data = runs_together(results, CELL)
        for keep, runs in data.config.groupby("keep"):
            if len(configs := sorted(set(runs.values.tolist()))) > 1:
                raise InputError(
                    f"Expected models of keep {keep:g} that differ in nothing but format and seed, "
                    f"got {' and '.join(configs)}."
                )
        return cls(data)

    def cell(self, variable: str, format: str, keep: float) -> Float[np.ndarray, "seed episode"]:
        """R of all seeds of one kind; none if there is no such model."""
        values = self.data[variable].transpose("run", "episode")
        chosen = (values.format == format) & (values.keep == keep)
        return self.data.attrs["d"] * values.values[chosen.values]

    def table(self) -> pd.DataFrame:
        """Mean R under dropout by format and keep (95% over seeds and episodes), with `whole`, the
        R without dropout, and `optimum`.
        """
        rows = {}
        for (format, keep), group in self.data.optimum.to_dataframe().groupby(CELL):
            dropped = mean_over_seeds(self.cell("dropped", format, keep))
            whole = self.cell("whole", format, keep).mean()
            rows[format, keep] = (*dropped, whole, group.optimum.iloc[0])
        table = pd.DataFrame.from_dict(rows, orient="index", columns=[*BOUNDS, "whole", "optimum"])
        table.index = pd.MultiIndex.from_tuples(rows, names=CELL)
        return table

    def scores(self) -> pd.DataFrame:
        """R under dropout of every format and keep, and `gain at KEEP`."""
        table = self.table()[list(BOUNDS)]
        named = zip(table.index.to_list(), table.to_numpy(), strict=True)
        rows = {f"{format} at {keep}": row for (format, keep), row in named}
        gains = self.gain()
        named = zip(gains.index, gains.to_numpy(), strict=True)
        rows |= {f"gain at {keep}": gain for keep, gain in named}
        return score_table(rows)

    def gain(self) -> pd.DataFrame:
        """(P - T) / P by keep, the share of the risk of pairs that triplets save, on the same
        episodes; 95% over seeds and episodes.
        """
        rows = {}
        for keep in sorted(set(self.data.keep.values.tolist())):
            pairs, triplets = (self.cell("dropped", f, keep) for f in ("pairwise", "triplet"))
            if len(pairs) and len(triplets):
                of_pairs, of_triplets = group_means(pairs, triplets)
                drawn = interval(1 - of_triplets / of_pairs)
                rows[keep] = (1 - triplets.mean() / pairs.mean(), *drawn)
        index = pd.Index(rows, name="keep", dtype=float)
        return pd.DataFrame(list(rows.values()), index=index, columns=list(BOUNDS))

    def seed_means(self) -> xr.DataArray:
        """R under dropout of every run."""
        return self.data.attrs["d"] * self.data.dropped.mean("episode")
