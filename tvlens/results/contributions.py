"""What the heads and MLPs of a model add to its task vector."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import effective_number, score_table, shares

ROUNDING = 1e-12
"""Squared norms below this share of the whole vector's are nothing."""


class Contributions(Result):
    """The terms that sum to the task vector of the longest context, in single episodes.

    - `contributions` (episode, part, component): what each part adds to the residual stream at the
      last carrier, below the layer of the vector. Parts are the embedding, heads ("L1H2" is the
      third of the second block), biases of attention ("L1 bias"), and MLPs ("L1 MLP").
    - `vectors` (episode, component): the vector as it is read, the sum of the contributions.

    The coordinate `kind` (part) is "embedding", "head", "bias" or "MLP".

    Attributes: `layer`, `carrier` (role), `format`, `task`.
    """

    def shares(self) -> xr.Dataset:
        """How much of the vector each part makes, over (measure, part).

        With t the vector and c_p the contribution of a part, the measure `whole` is the sum over
        episodes of <c_p, t> over that of <t, t>. The measure `varying` is the same after each has
        lost its mean over episodes: what is the same for all of them carries no task, and what is
        not may belong to the function or to the examples that told it. Both sum to 1 over the
        parts; a part that works against the rest has a negative share. `varying` is nan where the
        vector is the same in all episodes.

        Variables `estimate`, `low`, `high` (95% interval), `p`, `q`.
        """
        added, vector = self.data.contributions.astype(float), self.data.vectors.astype(float)
        measures = {
            "whole": (added, vector),
            "varying": (added - added.mean("episode"), vector - vector.mean("episode")),
        }
        found = [
            shares((c * t).sum("component"), _squared_norm(t, vector)) for c, t in measures.values()
        ]
        result = xr.concat(found, pd.Index(list(measures), name="measure"))
        return result.assign_attrs(self.data.attrs)

    def scores(self) -> pd.DataFrame:
        """Shares of the part of the vector that varies between episodes.

        - `embedding`, `heads`, `MLPs`: shares of all parts of a kind.
        - `largest`: share of the part that has most (`shares` tells which).
        - `parts`: how many parts share it evenly: exp(entropy) of positive shares.
        - `varying_norm`: squared norm of what varies, over that of the whole vector.

        All but the last are nan where the vector is the same in all episodes.
        """
        data, kind = self.data.astype(float), self.data.kind.values
        centred = data - data.mean("episode")
        made = (centred.contributions * centred.vectors).sum("component")
        values = {
            "made": made.transpose("episode", "part").values,
            "whole": (data.vectors**2).sum("component").values,
        }

        def scores(means: dict[str, Float[np.ndarray, "resample ..."]]) -> dict[str, np.ndarray]:
            total = means["made"].sum(1)
            total = np.where(total > ROUNDING * means["whole"], total, np.nan)
            share = means["made"] / total[:, None]
            kinds = {"embedding": "embedding", "heads": "head", "MLPs": "MLP"}
            of_kinds = {
                name: means["made"][:, kind == each].sum(1) / total for name, each in kinds.items()
            }
            return of_kinds | {
                "largest": share[:, largest],
                "parts": effective_number(share),
                "varying_norm": np.nan_to_num(total) / means["whole"],
            }

        largest = int(values["made"].mean(0).argmax())
        estimates = scores({name: v.mean(0, keepdims=True) for name, v in values.items()})
        resampled = scores({name: resampled_means(v) for name, v in values.items()})
        rows = {name: (estimates[name][0], *interval(resampled[name])) for name in estimates}
        return score_table(rows)


def _squared_norm(vector: xr.DataArray, whole: xr.DataArray) -> xr.DataArray:
    """Squared norms; nan where they are but rounding of those of the whole."""
    norms, rounding = (vector**2).sum("component"), ROUNDING * (whole**2).sum("component").mean()
    return norms.where(norms.mean() > rounding)
