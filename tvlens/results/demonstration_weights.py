"""How much each example of a context weighs in a vector."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.intervals import interval, seed_resampled_means
from tvlens.results.rank_trend import rank_trend
from tvlens.results.ratios import score_table


class DemonstrationWeights(Result):
    """How far a vector moves when the output of one example alone is another one.

    - `shift` (seed, episode, example): `|z' - z| / |z|`, examples counted from 1.

    Attributes: `layer`, `role`.
    """

    def table(self) -> pd.DataFrame:
        """Mean shift by example, with its 95% interval over seeds and episodes."""
        low, high = interval(seed_resampled_means(self._values()))
        columns = {"estimate": self._values().mean((0, 1)), "low": low, "high": high}
        return pd.DataFrame(columns, index=pd.Index(self.data.example.values, name="example"))

    def scores(self) -> pd.DataFrame:
        """How the mean shift goes with the number of the example.

        - `order`: Spearman's correlation of the two; 1 if each example weighs more than the one
          before, and its interval is over seeds and episodes.
        - `last_over_first`: ratio of the mean shifts of the last example and the first; nan where
          neither moves the vector.
        """
        drawn, mean = seed_resampled_means(self._values()), self._values().mean((0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio, ratios = mean[-1] / mean[0], drawn[:, -1] / drawn[:, 0]
        spread = {
            "order": (rank_trend(mean[None])[0], interval(rank_trend(drawn))),
            "last_over_first": (ratio, interval(ratios)),
        }
        return score_table(
            {
                name: (float(estimate), float(low), float(high))
                for name, (estimate, (low, high)) in spread.items()
            }
        )

    def _values(self) -> Float[np.ndarray, "seed episode example"]:
        return self.data["shift"].transpose("seed", "episode", "example").values
