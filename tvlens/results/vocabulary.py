"""Which symbols a task vector stands for."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import paired_difference
from tvlens.results.ratios import mean_with_interval

TOP = 5
"""How many of the most likely symbols are counted."""
SHOWN = ("outputs", "answers", "inputs")
"""Sorts of symbols, apart from those that are neither."""


class Vocabulary(Result):
    """What the final norm and the unembedding make of the task vector of each layer.

    As Hendel et al. (arXiv 2310.15916) and Dong et al. (arXiv 2506.09048, table 4) decode vectors
    of language models. The context is the longest of each episode.

    - `place` (vector, episode, layer, symbol): 1 is the most likely symbol. Vectors are the
      episode's `own`, that of `another` episode, the `mean` of all episodes, and that of an
      `untrained` model, by its own unembedding.
    - `is_a` (sort, episode, symbol): 1 for symbols of a sort, else 0. Each is of one: `outputs`
      that the context shows, other `answers` of the function (to the last query, and to fresh
      ones), other `inputs` that the context shows, and `neither`.
    - `asked` (episode, symbol): 1 for the right answer to the context's own last query.

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
        """The mean of 1 / place, over (of, vector, layer).

        Of the `outputs` that the context shows, and of the answer to its own `query`.
        `estimate`, `low`, `high` (95% interval).
        """
        return mean_with_interval(self._reciprocal_ranks(), "episode")

    def scores(self) -> pd.DataFrame:
        """Shares of the five most likely symbols and mean reciprocal ranks, at the layer reported.

        - `outputs`, `answers`, `inputs`, `neither`: shares with the episode's own vector.
        - `outputs_by_chance`: which share of all symbols the outputs are.
        - `outputs_of_another`, `outputs_of_mean`, `outputs_of_untrained`: with these vectors.
        - `outputs_own_to_it`: the share with the own vector, less that with another's.
        - `rank_outputs`, `rank_query`: mean reciprocal ranks of the outputs, and of the answer to
          the context's own query; `.._of_another` with the vector of another episode.
        """
        layer = self.data.attrs["layer"]
        each, ranks = self._shares(TOP).sel(layer=layer), self._reciprocal_ranks().sel(layer=layer)
        shares, ranks = (mean_with_interval(values, "episode") for values in (each, ranks))
        outputs = each.sel(sort="outputs")
        own, another = (outputs.sel(vector=name, drop=True) for name in ("own", "another"))
        chance = float(self.chance().sel(sort="outputs"))
        rows = {
            **{sort: _bounds(shares.sel(vector="own", sort=sort)) for sort in [*SHOWN, "neither"]},
            "outputs_by_chance": (chance, np.nan, np.nan),
            **{
                f"outputs_of_{name}": _bounds(shares.sel(vector=name, sort="outputs"))
                for name in ("another", "mean", "untrained")
            },
            "outputs_own_to_it": _bounds(paired_difference(own, another)),
            **{
                f"rank_{of}{ending}": _bounds(ranks.sel(vector=name, of=of))
                for of in ("outputs", "query")
                for name, ending in (("own", ""), ("another", "_of_another"))
            },
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(BOUNDS))

    def _shares(self, top: int) -> xr.DataArray:
        return self.data.is_a.where(self.data.place <= top, 0).sum("symbol") / top

    def _reciprocal_ranks(self) -> xr.DataArray:
        inverse = 1 / self.data.place
        outputs = self.data.is_a.sel(sort="outputs", drop=True)
        means = [inverse.weighted(of).mean("symbol") for of in (outputs, self.data.asked)]
        return xr.concat(means, pd.Index(["outputs", "query"], name="of"))


def _bounds(values: xr.Dataset) -> tuple[float, ...]:
    return tuple(float(values[bound]) for bound in BOUNDS)
