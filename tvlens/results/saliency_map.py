"""Along which attention edges the context reaches the answer."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.ratios import ratio_of_means, score_table


class SaliencyMap(Result):
    """Saliency of attention for the loss of the last answer, in single episodes.

    The saliency of an edge, from the token that looks (query) to the one looked at (key) in a
    block, follows from its attention A in each head and the gradient of the loss L with respect to
    A:

    - `per_head` (episode, block, query, key): the sum over heads of `|A dL/dA|`.
    - `joint` (episode, block, query, key): `|the sum over heads of A dL/dA|`, the score of Wang et
      al. (arXiv 2305.14160), where heads that work against each other cancel.

    Both are summed over the tokens of a kind: `z`, `x`, `y`, .. are the tokens of the examples,
    `last z`, `last x`, .. those of the query that ends the context.

    Attributes: `carrier` and `answer` (roles), `format`, `task`.
    """

    def shares(self) -> xr.Dataset:
        """Share of the saliency of all edges of all blocks, over (measure, block, query, key).

        Variables `estimate`, `low`, `high` (95% interval). Absolute values are positive wherever
        there is an edge, so there is no test of whether one is 0.
        """
        measures = pd.Index(["per_head", "joint"], name="measure")
        values = xr.concat([self.data["per_head"], self.data["joint"]], measures)
        result = ratio_of_means(values, values.sum(["block", "query", "key"]), "episode")
        return result.assign_attrs(self.data.attrs)

    def scores(self) -> pd.DataFrame:
        """Shares of the saliency (`per_head`) of kinds of edges, summed over blocks.

        - `examples_to_examples`: among the tokens of the examples.
        - `examples_to_carrier`, `examples_to_answer`: from tokens of the examples into the last
          carrier, and straight into the last answer token.
        - `earlier_carriers_to_answer`: the part of the latter that comes from carriers.
        - `carrier_to_answer`: from the last carrier into the last answer token; 0 if it is one.
        """
        data, attrs = self.data.per_head.sum("block"), self.data.attrs
        carrier, answer = f"last {attrs['carrier']}", f"last {attrs['answer']}"
        examples = [kind for kind in data.key.values if not kind.startswith("last ")]
        total = data.sum(["query", "key"])
        edges = {
            "examples_to_examples": (examples, examples),
            "examples_to_carrier": ([carrier], examples),
            "examples_to_answer": ([answer], examples),
            "earlier_carriers_to_answer": ([answer], [attrs["carrier"]]),
            "carrier_to_answer": ([answer], [carrier] if carrier != answer else []),
        }
        rows = {}
        for name, (query, key) in edges.items():
            some = data.sel(query=query, key=key).sum(["query", "key"])
            rows[name] = ratio_of_means(some, total, "episode")
        return score_table(rows)
