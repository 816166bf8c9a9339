"""Which of two tasks a model follows."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.ratios import mean_with_interval, ratio_of_means, score_table


class Conflict(Result):
    """Errors of answers that two functions have a say in, scored against each of them.

    Pair i is a function A and another function B. Errors are in the task's unit, of single pairs:

    - `to_context`, `to_vector` (pair, layer, written): a full context of A, in which the residual
      of the carrier is replaced; the answer scored against A and against B. `written` says by what:
      `nothing`; `own`: the vector of another context of A; `random`: a random vector of the norm of
      B's; `rival`: the vector of a context of B; `rival everywhere`: at every carrier of the
      context, not only the last, the vector of a context of B of that length.
    - `apart` (pair): the answer of A to the same query, scored against B.
    - `to_first`, `to_second` (pair, layer, share): a zero-shot prompt in which the vector
      (1 - share) A + share B is written; the answer scored against A and against B.
      `to_blend`: against (1 - share) f_A + share f_B.
    - `blend_apart` (pair): the answer of A to that query, scored against B.
    - `to_sum` (pair, layer, sum): the same with the `plain` sum of the two vectors, scored against
      f_A + f_B, and with the `centred` one, from which the mean vector of all functions was taken,
      scored against f_A + f_B - the answer of knowing nothing. `to_sum_zero_shot` (pair, sum): with
      no vector.

    `to_blend`, `to_sum` and `to_sum_zero_shot` are nan for symbols, which can not be added.

    Attributes: `layer` (that `scores` reports), `examples`, `carrier`, `format`, `task`,
    `position_ids`.
    """

    def following(self) -> xr.Dataset:
        """Whom the answer follows in the full context, over (layer, written): 0 is the context, 1
        the vector.

        alpha = 1/2 + (E_A - E_B) / (2 E_AB), of means over pairs, where E_A and E_B are errors
        against A and B, and E_AB is that of A's answers against B. For a squared error this is
        `<y - f_A, f_B - f_A> / |f_B - f_A|^2`. For symbols it is 1/2 plus half of how much more
        often B's answer is given than A's. An answer that knows neither is at 1/2 too, with large
        errors against both.
        """
        return _share(self.data.to_context, self.data.to_vector, self.data.apart)

    def blending(self) -> xr.Dataset:
        """The same for blended vectors, over (layer, share); a linear model has alpha = share."""
        return _share(self.data.to_first, self.data.to_second, self.data.blend_apart)

    def sums(self) -> xr.Dataset:
        """Share of the zero-shot error that a sum of vectors removes, over (layer, sum)."""
        saved = self.data.to_sum_zero_shot - self.data.to_sum
        return ratio_of_means(
            saved.transpose(*self.data.to_sum.dims), self.data.to_sum_zero_shot, "pair"
        )

    def scores(self) -> pd.DataFrame:
        """Numbers at the layer reported, with 95% intervals over pairs.

        - `alpha_...`: whom the answer follows, for each thing that is written.
        - `rival_to_context`, `rival_to_vector`: errors with the rival's vector.
        - `blend_0`, `blend_half`, `blend_1`: alpha of blends of vectors.
        - `half_to_blend`: error of the half-half blend against the mean of both functions.
        - `plain_sum`, `centred_sum`: shares of error removed.
        """
        layer = self.data.attrs["layer"]
        following, blending = self.following().sel(layer=layer), self.blending().sel(layer=layer)
        sums, rival = self.sums().sel(layer=layer), self.data.sel(layer=layer, written="rival")
        half = self.data.to_blend.sel(layer=layer, share=0.5)
        return score_table(
            {
                **{
                    f"alpha_{written}".replace(" ", "_"): following.sel(written=written)
                    for written in following.written.values
                },
                "rival_to_context": mean_with_interval(rival.to_context, "pair"),
                "rival_to_vector": mean_with_interval(rival.to_vector, "pair"),
                "blend_0": blending.sel(share=0),
                "blend_half": blending.sel(share=0.5),
                "blend_1": blending.sel(share=1),
                "half_to_blend": mean_with_interval(half, "pair"),
                "plain_sum": sums.sel(sum="plain"),
                "centred_sum": sums.sel(sum="centred"),
            }
        )


def _share(first: xr.DataArray, second: xr.DataArray, apart: xr.DataArray) -> xr.Dataset:
    return 0.5 + ratio_of_means(first - second, 2 * apart, "pair")
