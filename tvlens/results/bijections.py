"""What a model answers about maps between symbols, by kind of map."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.ratios import ratio_of_means, score_table

OUTCOMES = (
    "correct",
    "dummy's answer",
    "partner's answer",
    "query itself",
    "dummy itself",
    "another answer",
    "other",
)
"""What an answer can be, in the order in which it is asked; see `BijectionAnswers`."""
DUMMIES = ("differs", "equals", "any")
"""How the dummy's item is to the query's."""


class BijectionAnswers(Result):
    """Answers to a query x of a function f between symbols, in single episodes.

    A vector is read at the last carrier of a context that ends in a dummy query d, drawn from the
    items of f independently of x (arXiv 2506.09048, section 4 and table 1), and written into a
    zero-shot prompt for x. What the answer is, is asked in this order:

    - `correct`: f(x).
    - `dummy's answer`: f(d), and not x.
    - `partner's answer`: f(d) = x. The dummy is the partner of x in a map that goes both ways: the
      right pair and the wrong side, the dummy's answer and a copy of the query, all in one.
    - `query itself`: x, where f(d) is another: the right pair and the wrong side.
    - `dummy itself`: d, the wrong side of the dummy's pair.
    - `another answer`: the image of another item.
    - `other`: no answer of f.

    Variables, as numbers in that list:

    - `answer` (episode, reading, layer): the vector is that of `one dummy`, the mean of those of
      `two dummies` (d is either; the paper's reading), or that of `another function` (the
      control, without a d).
    - `plain` (episode, prompt): in `context`, with x in place of d, and `zero-shot`.

    Further `same` (episode, reading), whether d is x, and `kind_of` (episode), the number of the
    episode's `kind`, whose number of `items` (kind) is its rank. The layer is chosen on the first
    half of the episodes, and all else is about the second.

    Attributes: `carrier`, `format`, `task`.
    """

    def shares(self) -> xr.Dataset:
        """Shares of outcomes with a vector, over (kind, reading, dummy, layer, outcome).

        `dummy` says which episodes: where its item `differs` from the query's, where it `equals`
        it, and `any`. `estimate`, `low`, `high`: 95% intervals over functions; nan where there
        is none.
        """
        half = self._half(1)
        return _shares(half.answer, _members(half), half.same)

    def plain_shares(self) -> xr.Dataset:
        """Shares of outcomes in context and zero-shot, over (kind, prompt, outcome)."""
        half = self._half(1)
        return _shares(half.plain, _members(half))

    def best_layer(self) -> xr.DataArray:
        """The layer at which one vector answers best, for each map; chosen on the first half.

        The last layer has no say: a vector written there is the answer itself, to the dummy, or
        changes nothing where the carrier does not answer.
        """
        return self._development().estimate.isel(layer=slice(-1)).fillna(-1).idxmax("layer")

    def accuracy(self) -> xr.Dataset:
        """Accuracy of each map: `estimate`, `low`, `high` over (kind, score).

        - `icl`, `zero_shot`: without a vector.
        - `corrected`: with the vector of one dummy at `best_layer`, on episodes that had no part in
          the choice; `paper`: at the same layer on the episodes that it was chosen on, as the
          paper has it, which is too good.
        - `differs`, `equals`: `corrected`, where the dummy's item is another than the query's,
          and where it is the query's.
        - `two_dummies`, `another_function`: the other readings, at the same layer.
        - `one_item`: 1 / items, what a vector gains that acts as one example.
        """
        layer = self.best_layer()
        correct = self.shares().sel(outcome="correct", layer=layer)
        plain = self.plain_shares().sel(outcome="correct")
        one = 1 / self.data["items"].astype(float)
        scores = {
            "icl": plain.sel(prompt="context"),
            "zero_shot": plain.sel(prompt="zero-shot"),
            "corrected": correct.sel(reading="one dummy", dummy="any"),
            "paper": self._development().sel(layer=layer),
            "differs": correct.sel(reading="one dummy", dummy="differs"),
            "equals": correct.sel(reading="one dummy", dummy="equals"),
            "two_dummies": correct.sel(reading="two dummies", dummy="any"),
            "another_function": correct.sel(reading="another function", dummy="any"),
            "one_item": xr.Dataset(dict.fromkeys(BOUNDS, one)),
        }
        plainly = [each.reset_coords(drop=True) for each in scores.values()]
        return xr.concat(plainly, pd.Index(list(scores), name="score"), coords="minimal")

    def scores(self) -> pd.DataFrame:
        """Accuracies, a row for each map and score (see `accuracy`): `both 1: corrected`."""
        accuracy = self.accuracy()
        return score_table(
            {
                f"{name}: {score}": accuracy.sel(kind=name, score=score)
                for name in accuracy.kind.values
                for score in accuracy.score.values
            }
        )

    def _development(self) -> xr.Dataset:
        """Accuracy with one dummy over (kind, layer) in the first half."""
        half = self._half(0)
        answer = half.answer.sel(reading="one dummy", drop=True)
        return _shares(answer, _members(half)).sel(outcome="correct", drop=True)

    def _half(self, which: int) -> xr.Dataset:
        middle = self.data.sizes["episode"] // 2
        return self.data.isel(episode=slice(middle) if which == 0 else slice(middle, None))


def accuracy_table(results: Mapping[str, BijectionAnswers]) -> pd.DataFrame:
    """Accuracies to read: a row for each model and kind of map, a column for each score."""
    rows = []
    for name, result in results.items():
        accuracy = result.accuracy()
        for kind in accuracy.kind.values:
            cells = {
                score: _readable(accuracy.sel(kind=kind, score=score))
                for score in accuracy.score.values
            }
            rows.append({"model": name, "map": kind, **cells})
    return pd.DataFrame(rows)


def _readable(bounds: xr.Dataset) -> str:
    estimate, low, high = (float(bounds[each]) for each in BOUNDS)
    if np.isnan(estimate):
        return ""
    return f"{estimate:.3f}" + ("" if low == high else f" ({low:.3f} to {high:.3f})")


def _members(data: xr.Dataset) -> xr.DataArray:
    """Whether an episode is of a map."""
    return data.kind_of == data["items"].copy(data=np.arange(data.sizes["kind"]))


def _shares(
    answer: xr.DataArray, member: xr.DataArray, same: xr.DataArray | None = None
) -> xr.Dataset:
    """Shares of outcomes among the episodes of each map."""
    outcomes = xr.DataArray(np.arange(len(OUTCOMES)), dims="outcome")
    if same is not None:
        masks = [same == 0, same == 1, xr.ones_like(same, dtype=bool)]
        member = member & xr.concat(masks, pd.Index(DUMMIES, name="dummy"))
    is_outcome = (answer == outcomes).assign_coords(outcome=list(OUTCOMES))
    whole = member.broadcast_like(is_outcome)
    return ratio_of_means(is_outcome & whole, whole, "episode").transpose("kind", ...)
