"""Risks of linear transformers under the token dropout that they are trained with."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import group_means, interval
from tvlens.results.ratios import mean_over_seeds, score_table


class DropoutRisk(Result):
    """Errors of pairs and triplets with tokens dropped as in training, and with none.

    - `dropped`, `whole` (run, episode): the task's error, risk / d^2. A run has the labels
      `run_format`, `run_keep` (probability that a token stays) and `seed`.
    - `optimum` (format, keep): the least R under `DropoutKind.INPUT` of models with C_1 = 0, nan
      where it is not of such models. Models that compare inputs in their first layer may be better.

    R is d times the error. Attributes: `d`, `examples`, `task`.
    """

    def cell(self, variable: str, format: str, keep: float) -> Float[np.ndarray, "seed episode"]:
        """R of all seeds of one kind; none if there is no such model."""
        values = self.data[variable].transpose("run", "episode")
        chosen = (values.run_format == format) & (values.run_keep == keep)
        return self.data.attrs["d"] * values.values[chosen.values]

    def table(self) -> pd.DataFrame:
        """Mean R under dropout by format and keep (95% over seeds and episodes), with `whole`, the
        R without dropout, and `optimum`.
        """
        rows = {}
        for format, keep in self._kinds():
            dropped = mean_over_seeds(self.cell("dropped", format, keep))
            whole = self.cell("whole", format, keep).mean()
            optimum = float(self.data.optimum.sel(format=format, keep=keep))
            rows[format, keep] = (*dropped, whole, optimum)
        table = pd.DataFrame.from_dict(rows, orient="index", columns=[*BOUNDS, "whole", "optimum"])
        table.index = pd.MultiIndex.from_tuples(rows, names=["format", "keep"])
        return table

    def scores(self) -> pd.DataFrame:
        """R under dropout of every format and keep, and `gain at KEEP`."""
        table = self.table()[list(BOUNDS)]
        rows = {
            f"{format} at {keep}": (float(row[0]), float(row[1]), float(row[2]))
            for (format, keep), row in zip(table.index.to_list(), table.to_numpy(), strict=True)
        }
        gains = self.gain()
        for keep, gain in zip(gains.index, gains.to_numpy(), strict=True):
            rows[f"gain at {keep}"] = (float(gain[0]), float(gain[1]), float(gain[2]))
        return score_table(rows)

    def gain(self) -> pd.DataFrame:
        """(P - T) / P by keep, the share of the risk of pairs that triplets save, on the same
        episodes; 95% over seeds and episodes.
        """
        rows = {}
        for keep in sorted({keep for _, keep in self._kinds()}):
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

    def _kinds(self) -> list[tuple[str, float]]:
        """Format and keep of every kind of run, in order."""
        formats, keeps = self.data.run_format.values.tolist(), self.data.run_keep.values.tolist()
        return sorted(set(zip(formats, keeps, strict=True)))
