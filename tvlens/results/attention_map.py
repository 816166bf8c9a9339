"""Which tokens each head looks at."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import means_with_intervals, score_table


class AttentionMap(Result):
    """Attention between tokens by role, in single episodes.

    - `context` (episode, block, head, query, key, distance): in a full context, how much a token of
      role `query` attends to all tokens of role `key` together. The mean is over the tokens of the
      role from the second example on. `distance` says in which example the key stands: `own`, that
      of the query; `previous`, the one before; `earlier`, all before that. For each query it sums
      to 1 over `key` and `distance`. In formats that put z after y, the z that leads to an example
      counts as one of the `previous`.
    - `prompted` (episode, block, head, asking, asked): in a zero-shot prompt with the vector of the
      longest context, between its tokens; sums to 1 over `asked`.
    - `zero_shot`: the same without the vector.

    Blocks and heads are counted from 0.

    Attributes: `layer` (of the vector), `carrier` and `answer` (roles), `format`, `task`.
    """

    def means(self) -> xr.Dataset:
        """Means over episodes, with the ends of their 95% intervals, along `bound`."""
        return means_with_intervals(self.data)

    def scores(self) -> pd.DataFrame:
        """Attention of the head that has most of it, of all heads of all blocks.

        - `carrier_to_y`: from the carrier to the y of all examples in the context.
        - `answer_to_y`: from the answer token to the same.
        - `answer_to_carrier`: from the answer token to the carrier of its example, in the context.
        - `prompted_answer_to_carrier`, `zero_shot_answer_to_carrier`: the same in a zero-shot
          prompt with and without the vector, among blocks above the layer of the vector.

        Where the carrier answers itself, the last three tell how much it looks at itself.
        """
        data, carrier = self.data, self.data.attrs["carrier"]
        answer, layer = self.data.attrs["answer"], self.data.attrs["layer"]
        to_y = data.context.sel(key="y").sum("distance")
        context = data.context.sel(query=answer, key=carrier)
        leading = "own" if float(context.sel(distance="own").sum()) > 0 else "previous"
        rows = {
            "carrier_to_y": to_y.sel(query=carrier),
            "answer_to_y": to_y.sel(query=answer),
            "answer_to_carrier": context.sel(distance=leading),
        }
        if layer < data.sizes["block"]:
            for name in ("prompted", "zero_shot"):
                above = data[name].sel(asking=answer, asked=carrier)
                rows[f"{name}_answer_to_carrier"] = above.sel(block=slice(layer, None))
        table = {name: _largest(attention) for name, attention in rows.items()}
        return score_table(table)


def _largest(attention: xr.DataArray) -> list[float]:
    """The largest mean of all heads, with its interval."""
    heads = attention.stack(part=("block", "head")).transpose("episode", "part")
    largest = heads.isel(part=int(heads.mean("episode").values.argmax())).values
    low, high = interval(resampled_means(largest))
    return [float(largest.mean()), float(low), float(high)]
