"""Errors around trained linear transformers, along the structured sets and off them."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.bounds import label_bounds
from tvlens.results.intervals import interval, jackknife_interval, seed_resampled_means
from tvlens.results.ratios import score_table

NEAR = 0.25
"""The steps, either way, between which the costs of `scores` are taken."""


class RiskLandscape(Result):
    """Errors as the weights of several seeds move away, in single episodes.

    Step 0 is the model. At step 1 a change of D is as long as the point of S_P nearest to the D of
    its layer, a turn is a quarter, and the read-out is twice itself.

    - `error` (seed, direction, tokens, step, episode). `tokens`: `all`, and where training had
      dropout `dropped`, the same tokens in all weights.
    - `distance` (seed, direction, step): length of the change.
    - `closed_form` (seed, direction, step), of two layers with C_1 = 0: the error that K alone has
      by theory. It is the error without dropout as long as D moves nothing between query and
      examples, and nothing in the second layer.
    - `least` (episode), of a task without noise: errors of the best two layers with C_1 = 0, whose
      risk theory knows.
    - `gradient_products` (seed, point, tokens, component, batch, `batch_`): inner products of the
      gradients of the error of batches of episodes. The component `inside` is tangent to the sets
      that theory finds minimisers in, `outside` is the rest. The point is the model, the nearest
      point of S_P, or one a little (a tenth of its length) away from that, as a comparison.

    A direction has a `kind` (`along` S_P, `across`, `flat`, `nearly flat`) and a `part`, what
    moves; random directions share theirs. Attributes: `format`, `examples`, `d`, and `least_error`,
    the mean of `least` over all episodes there are.
    """

    def curves(self) -> xr.Dataset:
        """Mean errors over (tokens, part, step), random directions of a part taken together.

        `estimate`, `low`, `high` (95%, by bootstrap over seeds and episodes), and the `kind` of
        each part.
        """
        return self._means(self._parts())

    def costs(self) -> xr.Dataset:
        """Mean error above that of the model on the same episodes, as `curves` has it."""
        errors = self._parts()
        return self._means(errors - errors.sel(step=0))

    def closed_form(self) -> xr.DataArray:
        """The error by theory over (part, step), mean over seeds.

        Raises:
            KeyError: there is none for these models.
        """
        return _by_part(self.data.closed_form).mean("seed")

    def gradients(self) -> xr.Dataset:
        """Length of the gradient over (point, tokens, component): root of the mean over seeds.

        What episodes differ in adds nothing: only products of different batches count. `low` and
        `high` are 95% intervals of the mean over episodes, by jackknife over batches; they say
        nothing of other seeds.
        """
        products = self.data.gradient_products.mean("seed").transpose("batch", "batch_", ...)
        values = products.values.astype(float)
        without = [
            _off_diagonal(np.delete(np.delete(values, i, axis=0), i, axis=1))
            for i in range(len(values))
        ]
        squares = _off_diagonal(values)
        low, high = jackknife_interval(squares, np.stack(without))
        template = products.isel(batch=0, batch_=0, drop=True)
        roots = [np.sqrt(np.clip(each, 0, None)) for each in (squares, low, high)]
        return label_bounds(template, *roots)

    def scores(self) -> pd.DataFrame:
        """Errors here and around; `dropped` in brackets where tokens are.

        - `error`: of the models. `error above the least`: above that of the best two layers with
          C_1 = 0 on the same episodes, which leaves little to chance; and above `least_error`,
          `closed form above the least`, with the smallest and largest of the seeds as interval.
        - `lowest along {part}`: the step at which the mean error is least, among those taken.
        - `cost of {part}`: mean error a quarter step away, either way, above that of the model;
          nan if these steps were not taken.
        - `gradient inside`, `gradient outside`: of the models; `gradient outside, away`: at the
          point to compare with.
        """
        rows = self._above_the_least()
        errors = self._parts()
        for tokens in self.data.tokens.values:
            ending = "" if tokens == "all" else f" ({tokens})"
            some = errors.sel(tokens=tokens)
            rows["error" + ending] = self._means(some.sel(step=0).isel(part=0)).reset_coords()
            for part in some.part.values:
                one = some.sel(part=part)
                if one.kind == "along":
                    rows[f"lowest along {part}{ending}"] = _lowest(one)
                near = one.reindex(step=[-NEAR, NEAR]).mean("step", skipna=False)
                rows[f"cost of {part}{ending}"] = self._means(near - one.sel(step=0))
            lengths = self.gradients().sel(tokens=tokens)
            for component, point in (
                ("inside", "model"),
                ("outside", "model"),
                ("outside", "away"),
            ):
                name = f"gradient {component}" + (", away" if point == "away" else "")
                rows[name + ending] = lengths.sel(component=component, point=point)
        return score_table(rows)

    def _above_the_least(self) -> dict[str, xr.Dataset | tuple[float, float, float]]:
        data = self.data.sel(step=0).isel(direction=0)
        rows = {}
        if "least" in data:
            above = (data.error.sel(tokens="all") - data.least).reset_coords(drop=True)
            rows["error above the least"] = self._means(above)
        if "closed_form" in data:
            seeds = data.closed_form.values - self.data.attrs["least_error"]
            rows["closed form above the least"] = (seeds.mean(), seeds.min(), seeds.max())
        return rows

    def _parts(self) -> xr.DataArray:
        """Errors, the mean over the directions of a part."""
        return _by_part(self.data.error)

    def _means(self, errors: xr.DataArray) -> xr.Dataset:
        errors = errors.transpose("seed", "episode", ...)
        resampled = seed_resampled_means(errors.values)
        template = errors.isel(seed=0, episode=0, drop=True)
        return label_bounds(template, errors.values.mean((0, 1)), *interval(resampled))


def _by_part(values: xr.DataArray) -> xr.DataArray:
    """Means over the directions of each part, in the order in which they were taken."""
    parts = list(dict.fromkeys(values.part.values))
    means = [values.isel(direction=values.part.values == part).mean("direction") for part in parts]
    kinds = dict(zip(values.part.values, values.kind.values, strict=True))
    index = pd.Index(parts, name="part")
    return xr.concat(means, index).assign_coords(kind=("part", [kinds[part] for part in parts]))


def _lowest(errors: xr.DataArray) -> tuple[float, float, float]:
    """The step of the least mean error, and between which it lies."""
    errors = errors.transpose("seed", "episode", "step")
    steps, values = errors.step.values, errors.values
    low, high = interval(steps[seed_resampled_means(values).argmin(1)])
    return float(steps[values.mean((0, 1)).argmin()]), float(low), float(high)


def _off_diagonal(products: np.ndarray) -> np.ndarray:
    """Mean of the products of different batches: that of a gradient with itself, without noise."""
    count = len(products)
    own = np.einsum("ii...->...", products)
    return (products.sum((0, 1)) - own) / (count * (count - 1))
