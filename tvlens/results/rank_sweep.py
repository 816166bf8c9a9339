"""Up to which rank a task vector holds a map among items."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import interval, seed_resampled_means
from tvlens.results.ratios import score_table

OUTCOMES = (
    "correct",
    "query itself",
    "other pair",
    "wrong side",
    "wrong sign",
    "opposite item",
    "none",
)
"""What an answer can be, in the order in which it is asked; see `RankSweep`."""
SHOWN = ("any", "shown", "not shown")
"""Which episodes: all, those with the query's item among the examples, and the others."""


class RankSweep(Result):
    """What models that differ in their seed answer about maps among orthonormal items
    (`OrthonormalItems`), with contexts and with task vectors (arXiv 2506.09048, table 1).

    An answer is read as the item x_k, -x_k, y_k or -y_k that it points to. What that is, is asked
    in this order:

    - `correct`: the image of the query.
    - `query itself`: in a map that goes both ways, the right pair and the wrong side.
    - `other pair`: on the side of the image, with its sign, an item of another pair.
    - `wrong side`: on the other side, with the image's sign.
    - `wrong sign`: what is opposite to the image.
    - `opposite item`: opposite to another item that would be one of the above.
    - `none`: the answer is 0, and points nowhere.

    Variables, as numbers in that list, of single episodes, which are the same for all models:

    - `context` (kind, seed, episode, examples): the last examples before the query, the others cut.
    - `vectors` (kind, seed, episode, injection, source, number): as in `DemonstrationValue`.

    Further `shown` (kind, episode): whether the query's item is among the examples; `direction`,
    `pairs` and `rank` (kind).

    Attributes: `layer` (of `corrected` vectors).
    """

    def answers(self) -> xr.DataArray:
        """The outcomes (kind, seed, episode, way) of some prompts.

        - `icl`, `one example`: contexts of n and of one example;
        - `paper`, `corrected`: one vector, by `Injection`; `.. all vectors`: n + 1 of them;
          `.. another function`: one vector of another context, the control.
        """
        context, vectors = self.data.context, self.data.vectors
        ways = {"icl": context.isel(examples=-1), "one example": context.sel(examples=1)}
        for injection in self.data.injection.values:
            of = vectors.sel(injection=injection)
            own = of.sel(source="own")
            ways[injection] = own.sel(number=1)
            ways[f"{injection} all vectors"] = own.isel(number=-1)
            ways[f"{injection} another function"] = of.sel(source="another function", number=1)
        plain = {name: each.reset_coords(drop=True) for name, each in ways.items()}
        return xr.Dataset(plain).to_array("way")

    def shares(self) -> xr.Dataset:
        """Shares of outcomes over (kind, shown, way, outcome): `estimate`, `low`, `high` (95% over
        seeds and episodes).

        `shown` says of which episodes: with the query's item among the examples, those without, and
        `any`; nan where there are none.
        """
        kinds = xr.DataArray(range(len(OUTCOMES)), {"outcome": list(OUTCOMES)}, "outcome")
        shown = self.data.shown.astype(bool)
        masks = (xr.ones_like(shown), shown, ~shown)
        members = xr.Dataset(dict(zip(SHOWN, masks, strict=True))).to_array("shown")
        return _share((self.answers() == kinds).transpose("kind", "way", "outcome", ...), members)

    def accuracy(self) -> xr.Dataset:
        """Shares of right answers over (kind, way)."""
        return _share(self.answers() == 0)

    def accuracy_by_number(self) -> xr.Dataset:
        """Shares of right answers over (kind, injection, source, number)."""
        return _share(self.data.vectors == 0)

    def accuracy_by_examples(self) -> xr.Dataset:
        """Shares of right answers over (kind, examples)."""
        return _share(self.data.context == 0)

    def scores(self) -> pd.DataFrame:
        """Accuracies, a row for each map and way (see `answers`), `both 1: corrected`; and `both 1:
        1 / rank`, what a vector gains that acts as one example.
        """
        accuracy, rows = self.accuracy(), {}
        for name, rank in zip(accuracy["kind"].values, self.data["rank"].values, strict=True):
            for way in accuracy.way.values:
                rows[f"{name}: {way}"] = accuracy.sel(kind=name, way=way)
            rows[f"{name}: 1 / rank"] = (1 / rank,) * 3
        return score_table(rows)


def _share(is_so: xr.DataArray, members: xr.DataArray | None = None) -> xr.Dataset:
    """The share of episodes, among members, over seeds and episodes jointly."""
    among = xr.ones_like(is_so, dtype=bool) if members is None else members & (is_so | True)
    rest = [each for each in among.dims if each not in ("seed", "episode")]
    both = (each.transpose("seed", "episode", *rest) for each in (is_so & among, among))
    top, bottom = (each.astype(float) for each in both)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = top.values.mean((0, 1)) / bottom.values.mean((0, 1))
        resampled = seed_resampled_means(top.values) / seed_resampled_means(bottom.values)
    template = top.isel(seed=0, episode=0, drop=True).reset_coords(drop=True)
    return label_bounds(template, estimate, *interval(resampled))
