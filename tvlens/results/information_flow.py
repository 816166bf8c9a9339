"""In which block examples are put together, and in which one the task vector is made of them."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import RESAMPLES, interval, resampled_means
from tvlens.results.rank_trend import rank_trend
from tvlens.results.ratios import (
    defined_gain,
    ratio_of_means,
    recovery,
    resampled_ratios,
    score_table,
)

FLOWS = {"concat": ("y_to_own", "y_to_all"), "form": ("carrier_to_y", "carrier_to_all")}
"""Shares of saliency by name: of what, and in what."""
WORKS = 0.5
"""A layer's vector works if it recovers this share of what the best layer's does."""


class InformationFlow(Result):
    """Saliency of the edges that put examples together and that make the task vector of them.

    Dong et al. (arXiv 2506.09048, section 4 and figure 3) see two steps in a language model: each y
    collects the x and the arrow of its own example, and above that the last arrow collects the y.
    Saliency is that of `tvlens.results.SaliencyMap`, of single edges. Over (weights, measure,
    episode, block), where weights are `trained` or `untrained` and the measure is `per_head` or
    `joint`:

    - `y_to_own`: from each y to the other tokens of its own example, added up over examples.
    - `y_to_all`: from each y to all tokens, itself among them.
    - `carrier_to_y` (and example): from the last carrier to the y of example 1, 2, ..
    - `carrier_to_all`: from the last carrier to all tokens.

    Errors of the last answer in single episodes, with the trained weights:

    - `tvp` (episode, layer): a fresh query without a context, with the last carrier's vector.
    - `zero_shot`, `icl` (episode): the same query without the vector; the full context.

    Attributes: `carrier` (role), `format`, `task`.
    """

    def shares(self) -> xr.Dataset:
        """Shares of saliency over (flow, weights, measure, block).

        - `concat`: of the rows of all y, what goes to the tokens of their own examples.
        - `form`: of the last carrier's row, what goes to the y.

        Variables `estimate`, `low`, `high` (95% interval); nan where a row has no saliency, as
        that of a token that does not answer in the last block.
        """
        pairs = [self._parts(flow) for flow in FLOWS]
        shares = [ratio_of_means(part, whole, "episode") for part, whole in pairs]
        return xr.concat(shares, pd.Index(list(FLOWS), name="flow"))

    def recency(self) -> xr.Dataset:
        """Whether later examples weigh more for the vector, over (weights, measure, block).

        Spearman's correlation, over examples, of their number with the mean saliency of the edge
        from the last carrier to their y: 1 if each weighs more than the one before it, 0 if order
        does not matter. `estimate`, `low`, `high`; nan where there is no saliency.
        """
        values = self.data.carrier_to_y.transpose("episode", ..., "example")
        means, resampled = values.values.mean(0), resampled_means(values.values)
        template = values.isel(episode=0, example=0, drop=True)
        return label_bounds(template, rank_trend(means), *interval(rank_trend(resampled)))

    def recovery(self) -> xr.Dataset:
        """Share of what in-context learning gains that the vector gains, for each layer.

        As in a locality map, for the longest context: `estimate`, `low`, `high`.
        """
        data = self.data
        return recovery(data.tvp, data.zero_shot, data.icl, "episode")

    def scores(self) -> pd.DataFrame:
        """Whether one step comes before the other, and both before the vector; `per_head`.

        - `concat_block`, `form_block`: the blocks where the shares are largest.
        - `working_layer`: the first layer whose vector recovers at least half of what the best
          layer's does; nan where no vector recovers anything. Block b leads to layer b + 1.
        - `in_order`: 1 if concat_block < form_block < working_layer, else 0; the interval says
          whether resampled episodes agree.
        - `concat`, `form`: the shares in these blocks.
        - `recency`: in the form block.
        - `recovery`: at the working layer.
        - `untrained_concat`, `untrained_form`: the shares in the same blocks before training.
        - `untrained_concat_block`, `untrained_form_block`: where they are largest then.
        - `joint_concat_block`, `joint_form_block`, `joint_in_order`: with the measure `joint`.
        """
        found, joint = self._places("per_head"), self._places("joint")
        untrained = self._places("per_head", "untrained")
        shares, recency = (each.sel(measure="per_head") for each in (self.shares(), self.recency()))
        blocks = {flow: int(found[f"{flow}_block"][0]) for flow in FLOWS}
        there = {flow: shares.sel(flow=flow, block=block) for flow, block in blocks.items()}
        trend = recency.sel(weights="trained", block=blocks["form"])
        recovered = self.recovery().reindex(layer=[found["working_layer"][0]]).squeeze("layer")
        rows = {
            **found,
            **{flow: there[flow].sel(weights="trained") for flow in FLOWS},
            "recency": trend,
            "recovery": recovered,
            **{f"untrained_{flow}": there[flow].sel(weights="untrained") for flow in FLOWS},
            **{f"untrained_{flow}_block": untrained[f"{flow}_block"] for flow in FLOWS},
            **{f"joint_{name}": joint[name] for name in ("concat_block", "form_block", "in_order")},
        }
        return score_table(rows)

    def _places(self, measure: str, weights: str = "trained") -> dict[str, tuple]:
        """Blocks, layer and their order, each with its interval."""
        which = {"measure": measure, "weights": weights}
        found = [_largest(*(each.sel(which) for each in self._parts(flow))) for flow in FLOWS]
        (concat, form), layer = found, self._working_layers()
        ordered = np.where(np.isnan(layer), np.nan, (concat < form) & (form < layer))
        places = {"concat_block": concat, "form_block": form, "working_layer": layer}
        return {
            name: (each[0], *interval(each[1:]))
            for name, each in (places | {"in_order": ordered}).items()
        }

    def _working_layers(self) -> Float[np.ndarray, " sample"]:
        """The first layer with a vector that works, of all episodes and of samples of them."""
        if not (self.recovery().low > 0).any():
            return np.full(RESAMPLES + 1, np.nan)
        data = self.data
        gain = defined_gain(data.zero_shot, data.icl, "episode")
        shares = _samples(data.zero_shot - data.tvp, gain)
        works = shares >= WORKS * shares.max(1, keepdims=True)
        return data.layer.values[works.argmax(1)].astype(float)

    def _parts(self, flow: str) -> tuple[xr.DataArray, xr.DataArray]:
        """What a share is of, and in what."""
        part, whole = (self.data[name] for name in FLOWS[flow])
        return (part.sum("example") if "example" in part.dims else part), whole


def _samples(part: xr.DataArray, whole: xr.DataArray) -> Float[np.ndarray, "sample place"]:
    """Ratios of means of all episodes, and then of samples of them."""
    estimate, resampled = resampled_ratios(part, whole, "episode")
    return np.concatenate([estimate[None], resampled])


def _largest(part: xr.DataArray, whole: xr.DataArray) -> Float[np.ndarray, " sample"]:
    """The block with the largest share, of all episodes and of samples of them."""
    shares = np.nan_to_num(_samples(part, whole), nan=-np.inf)
    return part.block.values[shares.argmax(1)].astype(float)
