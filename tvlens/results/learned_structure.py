"""Weights of trained linear transformers beside the sets that theory finds minimisers in."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.ratios import score_table

QUERY = "x query"
"""What the token of the query's x is called."""
_D = ("source", "destination")
_L4 = ("example", "arrow")


class LearnedStructure(Result):
    """A, B, C and D of several seeds, after training and (control) before it.

    Variables over (training: `trained` or `untrained`, seed, ..), for inputs x of covariance S:

    - `D` (layer, source, destination): scores of positions; nan where an entry is dead, that is,
      cannot change what the model says. `nearest`: the nearest point of S_P, equally.
    - `A`, `B`, `C` (layer, row, column): as they act on S^-1/2 x, so that their sets are multiples
      of the identity.
    - `L4` (layer, example, arrow), `L5` (layer, end), `singular_values` (layer, rank): how examples
      go to arrows, of triplets, in all layers but the last. L5 has length 1; both may change sign.
    - `K` (y_of, x_of), of two layers: the answer is -Y K X^T x as far as C_1 = 0, D moves nothing
      between query and examples, and A, B and C are in their sets. `rest`: the length of the map
      of (y_i, x_j, x) to the answer that A, B and C outside of their sets add.

    Attributes: `format`, `weights`, `examples`, `d`, `first_layer`, `optimal_kappa`.
    """

    def gram(self) -> xr.DataArray:
        """L4 L4^T over (training, seed, layer, example, `example_`)."""
        other = self.data.L4.rename(example="example_")
        return xr.dot(self.data.L4, other, dim="arrow")

    def distances(self) -> xr.Dataset:
        """How far each model is from the sets, over training, seed and, where it applies, layer.

        Relative ones are lengths (Frobenius norms) over the length of what there is:

        - `off_structure`: `|D - nearest| / |D|`, over live entries. Of the last layer of two these
          are entries without an effect in S_P.
        - `off_structure_elsewhere`: the same without the column of the query's x. That token is
          never dropped, so training with dropout keeps examples there, which S_P does not.
        - `second_singular_value`: of the entries from x and y to arrows, over the first; 0 for an
          L4 kron L5.
        - `query_row`: length of the query's row of L4 over that of L4.
        - `unequal_examples`: `|G - m E| / |m E|`, G = L4 L4^T, E = diag(I_n, 0), and m the mean of
          G's diagonal without the query (Proposition 3).
        - `A`, `B`, `C`: distance to the nearest multiple of the identity over their length, for
          matrices. A_1 and C_2 of two layers are not determined alone but `product`,
          A_1^T C_2 A_1, is.
        - `mixing`: `|K - kappa I| / |kappa I|` with kappa the mean diagonal, for matrices with all
          that `rest` adds. `off_diagonal`: the largest off the diagonal over `|kappa|`.

        Beside them `norm`, that of D, `L4_norm`, and `kappa`, over that of the least risk.
        """
        data, attrs = self.data, self.data.attrs
        others = data.drop_sel(destination=[QUERY])
        found = {
            "off_structure": _norm(data.D - data.nearest, _D) / _norm(data.D, _D),
            "off_structure_elsewhere": _norm(others.D - others.nearest, _D) / _norm(others.D, _D),
            "norm": _norm(data.D, _D),
        }
        if attrs["weights"] == "matrices":
            found |= {name: _unlike_identity(data[name]) for name in "ABC"}
        if "L4" in data:
            found |= self._of_task_vectors()
        if "K" in data:
            found |= self._of_mixing()
        return xr.Dataset(found)

    def scores(self) -> pd.DataFrame:
        """`distances`, the layer behind the name.

        `estimate` is the mean of the trained seeds, `low` and `high` the smallest and the largest:
        a few seeds have no interval. Rows that end in `(untrained)` are the control.
        """
        rows = {}
        for training, ending in (("trained", ""), ("untrained", " (untrained)")):
            for name, values in self.distances().sel(training=training, drop=True).items():
                for label, each in _by_layer(str(name), values):
                    rows[label + ending] = (each.mean(), each.min(), each.max())
        return score_table(rows)

    def _of_task_vectors(self) -> dict[str, xr.DataArray]:
        data, gram = self.data, self.gram()
        size = _norm(data.L4, _L4)
        others = [each for each in gram.example.values if each != "query"]
        same = xr.DataArray(
            np.diag([each != "query" for each in gram.example.values]).astype(float),
            coords=[gram.example, gram.example_],
        )
        even = same * (gram * same).sum(("example", "example_")) / len(others)
        return {
            "L4_norm": size,
            "second_singular_value": data.singular_values.sel(rank=2, drop=True)
            / data.singular_values.sel(rank=1, drop=True),
            "query_row": _norm(data.L4.sel(example="query", drop=True), ("arrow",)) / size,
            "unequal_examples": _norm(gram - even, ("example", "example_"))
            / _norm(even, ("example", "example_")),
        }

    def _of_mixing(self) -> dict[str, xr.DataArray]:
        data, n, d = self.data, self.data.attrs["examples"], self.data.attrs["d"]
        ends = ("y_of", "x_of")
        same = xr.DataArray(np.eye(n), coords=[data.y_of, data.x_of])
        kappa = (data.K * same).sum(ends) / n
        rest = data.K - kappa * same
        found = {
            "mixing": np.hypot(_norm(rest, ends) * d, data.rest) / (abs(kappa) * n**0.5 * d),
            "off_diagonal": abs(data.K * (1 - same)).max(ends) / abs(kappa),
            "kappa": kappa / data.attrs["optimal_kappa"],
        }
        if data.attrs["weights"] == "matrices":
            A, C = data.A.sel(layer=1, drop=True).values, data.C.sel(layer=2, drop=True).values
            product = data.C.sel(layer=2, drop=True).copy(data=np.swapaxes(A, -1, -2) @ C @ A)
            found["product"] = _unlike_identity(product)
        return found


def _norm(values: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """Length of all entries that are not nan; nan where there is none."""
    return (values**2).sum(dims, min_count=1) ** 0.5


def _unlike_identity(matrices: xr.DataArray) -> xr.DataArray:
    """Distance to the nearest multiple of the identity, relative."""
    dims = ("row", "column")
    same = xr.DataArray(np.eye(matrices.sizes["row"]), coords=[matrices.row, matrices.column])
    nearest = (matrices * same).sum(dims) / matrices.sizes["row"] * same
    return _norm(matrices - nearest, dims) / _norm(matrices, dims)


def _by_layer(name: str, values: xr.DataArray) -> list[tuple[str, np.ndarray]]:
    """A row for each layer in which the distance is defined."""
    if "layer" not in values.dims:
        return [(name, values.values)]
    return [
        (f"{name}, layer {layer}", each.values)
        for layer, each in values.groupby("layer")
        if np.isfinite(each.values).all()
    ]
