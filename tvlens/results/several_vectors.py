"""Whether several vectors serve better than one, beside some examples."""

import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import paired_difference
from tvlens.results.ratios import mean_with_interval, score_table

IN_CONTEXT = "in context"
WAYS = (IN_CONTEXT, "one vector", "repeated", "several contexts", "one context", "mean vector")
"""What is written into a prompt of N examples; see `SeveralVectors`."""
COMPARED = (
    ("one vector", IN_CONTEXT),
    ("several contexts", "one vector"),
    ("one context", "one vector"),
    ("repeated", "one vector"),
    ("mean vector", "one vector"),
    ("several contexts", "repeated"),
)
"""Ways, and those that they should be better than."""
SELECTIONS = ("corrected", "paper")


class SeveralVectors(Result):
    """Errors of prompts of N examples in which vectors of other contexts of the same function are
    written on carriers (arXiv 2506.09048, tables 2, 6 and 7).

    Of single episodes, in the task's unit:

    - `errors` (episode, examples, layer, dummies, way): N is `examples`, and vectors replace the
      stream at `layer` where they were read. `way` says which. `one vector` (the paper's TaskV): on
      the last carrier, that of the last carrier of a longer context. `repeated`: the same one on
      all N + 1 carriers, the control of what is gained by many writes of one vector. `several
      contexts` (TaskV-M): on all N + 1 carriers, one of each of N + 1 contexts. `one context`
      (TaskV-MS): those of the last N + 1 carriers of one context. `mean vector`: on the last
      carrier, the mean over all the contexts. But for the mean, the last carrier gets the same.
    - `in_context` (episode, examples): nothing is written.

    The longer contexts end in dummy queries. A vector is that of `one` dummy, or the mean of those
    with `two`, as in the paper.

    The layer is chosen on the first half of the episodes, and all that is derived is about the
    second; where `selection` is `paper` it is chosen on the second half too, for each way, number
    of examples and reading by itself, which is too good.

    Attributes: `carrier`, `task`, `contexts` (per function), `length` (their examples).
    """

    def layers(self) -> xr.DataArray:
        """The layers chosen, over (selection, examples, dummies, way)."""
        means = [half.errors.mean("episode") for half in (self._half(0), self._half(1))]
        best = {
            selection: each.idxmin("layer").astype(int)
            for selection, each in zip(SELECTIONS, means, strict=True)
        }
        return xr.Dataset(best).to_array("selection")

    def selected(self) -> xr.DataArray:
        """Errors of the second half at the layers chosen, over (selection, episode, examples,
        dummies, way), with `in context` among the ways.
        """
        test = self._half(1)
        chosen = test.errors.sel(layer=self.layers()).drop_vars("layer")
        ways = {way: chosen.sel(way=way, drop=True) for way in WAYS if way != IN_CONTEXT}
        return xr.Dataset({IN_CONTEXT: test.in_context, **ways}).to_array("way")

    def means(self) -> xr.Dataset:
        """Mean errors: `estimate`, `low`, `high` over (selection, examples, dummies, way)."""
        return mean_with_interval(self.selected(), "episode")

    def gains(self) -> xr.Dataset:
        """How much smaller errors of one way are than those of another in the same episodes, over
        (gain, selection, examples, dummies): `several contexts - one vector` and so on.

        `estimate`, `low`, `high`, `p` and `q` as of `paired_difference`; q is for all cells.
        """
        errors = self.selected()
        names = [f"{better} - {worse}" for better, worse in COMPARED]
        first, second = (
            errors.sel(way=[pair[which] for pair in COMPARED])
            .rename(way="gain")
            .assign_coords(gain=names)
            for which in (1, 0)
        )
        return paired_difference(first, second)

    def scores(self) -> pd.DataFrame:
        """Numbers of one dummy, where nothing else is said, and a layer chosen on other episodes.

        - Errors for each way with the most examples, `one vector, 4`, and without, `one vector, 0`.
        - `several contexts - one vector, N`: the gain with N examples; the other gains with the
          most.
        - `.., as the paper selects`: with the most examples, the layer chosen on the same episodes.
        """
        means, gains = self.means().sel(dummies="one"), self.gains().sel(dummies="one")
        most, rows = int(means.examples[-1]), {}
        for n in (0, most):
            for way in means.way.values:
                rows[f"{way}, {n}"] = means.sel(selection="corrected", examples=n, way=way)
        for name in gains.gain.values:
            several = name == "several contexts - one vector"
            for n in gains.examples.values[1:] if several else [most]:
                rows[f"{name}, {n}"] = gains.sel(selection="corrected", examples=n, gain=name)
        for way in ("one vector", "several contexts"):
            paper = means.sel(selection="paper", examples=most, way=way)
            rows[f"{way}, {most}, as the paper selects"] = paper
        return score_table(rows)

    def _half(self, which: int) -> xr.Dataset:
        middle = self.data.sizes["episode"] // 2
        return self.data.isel(episode=slice(middle) if which == 0 else slice(middle, None))
