"""Which symbols a task vector stands for."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import paired_difference
from tvlens.results.ratios import mean_with_interval, ratio_of_means, score_table

TOP = 5
"""How many of the most likely symbols are counted."""
SORTS = ("query", "outputs", "answers", "inputs", "neither")
"""Sorts of symbols; no symbol is of two."""


class Vocabulary(Result):
    """What the final norm and the unembedding make of the task vector of each layer.

    As Hendel et al. (arXiv 2310.15916) and Dong et al. (arXiv 2506.09048, table 4) decode vectors
    of language models. The context is the longest of each episode.

    - `place` (vector, episode, layer, symbol): 1 is the most likely symbol. Vectors are the
      episode's `own`, that of `another` episode, the `mean` of all episodes, and that of an
      `untrained` model, by its own unembedding.
    - `is_a` (sort, episode, symbol): 1 for symbols of a sort, else 0. Each symbol is of one: the
      right answer to the last `query` of the context, other `outputs` that the context shows,
      other right `answers` of the function (to fresh queries), other `inputs` that the context
      shows, and `neither`.

    Attributes: `layer` (of the scores), `carrier` (role), `format`, `task`.
    """

    def shares(self, top: int = TOP) -> xr.Dataset:
        """Which share of the `top` most likely symbols is of each sort, over (sort, vector, layer).

        `estimate`, `low`, `high` (95% interval). The sorts add up to 1.
        """
        return mean_with_interval(self._shares(top), "episode")

    def chance(self) -> xr.DataArray:
        """Which share of all symbols is of each sort, and so of symbols at random; (sort)."""
        return self.data.is_a.mean(["episode", "symbol"])

    def reciprocal_ranks(self) -> xr.Dataset:
        """The mean of 1 / place of symbols of each sort, over (sort, vector, layer).

        `estimate`, `low`, `high` (95% interval).
        """
        inverse = (self.data.is_a / self.data.place).sum("symbol")
        return ratio_of_means(inverse, self.data.is_a.sum("symbol"), "episode")

    def scores(self) -> pd.DataFrame:
        """Shares of the five most likely symbols and mean reciprocal ranks, at the layer reported.

        - `query`, `outputs`, `answers`, `inputs`, `neither`: shares with the episode's own vector.
        - `outputs_by_chance`: which share of all symbols the outputs are.
        - `outputs_of_another`, `outputs_of_mean`, `outputs_of_untrained`: with these vectors.
        - `outputs_own_to_it`: the share with the own vector, less that with another's.
        - `rank_query`, `rank_outputs`: mean reciprocal ranks of the answer to the context's own
          query, and of other outputs; `rank_query_of_another`, `rank_outputs_of_another`: with the
          vector of another episode.
        """
        layer = self.data.attrs["layer"]
        shares, ranks = (each.sel(layer=layer) for each in (self.shares(), self.reciprocal_ranks()))
        outputs = self._shares(TOP).sel(layer=layer, sort="outputs")
        own, another = (outputs.sel(vector=name, drop=True) for name in ("own", "another"))
        chance = float(self.chance().sel(sort="outputs"))
        rows = {
            **{sort: shares.sel(vector="own", sort=sort) for sort in SORTS},
            "outputs_by_chance": (chance, np.nan, np.nan),
            **{
                f"outputs_of_{name}": shares.sel(vector=name, sort="outputs")
                for name in ("another", "mean", "untrained")
            },
            "outputs_own_to_it": paired_difference(own, another),
            **{
                f"rank_{of}{ending}": ranks.sel(vector=name, sort=of)
                for of in ("query", "outputs")
                for name, ending in (("own", ""), ("another", "_of_another"))
            },
        }
        return score_table(rows)

    def _shares(self, top: int) -> xr.DataArray:
        counted = min(top, self.data.sizes["symbol"])
        return self.data.is_a.where(self.data.place <= top, 0).sum("symbol") / counted
