"""How errors grow with noise in the labels."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import NOTHING, defined, score_table
from tvlens.results.shifted_errors import (
    MODEL_MODES,
    MODES,
    ShiftedErrors,
    comparable_pairs,
)

CLEAN, CORRUPTED = "clean", "corrupted example"
_NEVER = 1e300
"""Stands for infinity in intervals, where infinities cannot be interpolated between."""


class NoiseCurves(ShiftedErrors):
    """Errors of the same episodes at several levels of several kinds of label noise.

    Variables and coordinates of `ShiftedErrors`, and over shift: `kind`, `level` and `unit` of the
    noise. The kind `clean` is one shift, of level 0; in the kind `corrupted example` one label of
    the context is wrong, and the level is its position, counted from 1. Targets are always clean.
    """

    @property
    def kinds(self) -> list[str]:
        """Kinds of noise that have a level, in order."""
        kinds = dict.fromkeys(self.data.kind.values.tolist())
        return [kind for kind in kinds if kind not in (CLEAN, CORRUPTED)]

    def names(self, kind: str) -> list[str]:
        """The shifts of one kind by increasing level; level 0 is clean, except for corrupted
        examples, which have positions.
        """
        own = self.data.isel(shift=np.flatnonzero(self.data.kind.values == kind)).sortby("level")
        names = own["shift"].values.tolist()
        starts = kind == CORRUPTED or (own.level == 0).any()
        return names if starts else [self._clean_name, *names]

    def curve(self, kind: str) -> xr.Dataset:
        """Errors (episode, level) of one kind; see `names`."""
        curve = self.data.sel(shift=self.names(kind)).swap_dims(shift="level")
        return curve.drop_vars(["shift", "kind", "unit"])

    def summary_of(self, kind: str) -> xr.Dataset:
        """Means over episodes with 95% intervals: `estimate`, `low`, `high` over (mode, level)."""
        names = list(MODES)
        values = self.curve(kind)[names].to_array("mode").transpose("episode", "mode", "level")
        bounds = (values.mean("episode").values, *interval(resampled_means(values.values)))
        template = values.isel(episode=0, drop=True)
        return xr.Dataset({n: template.copy(data=v) for n, v in zip(BOUNDS, bounds, strict=True)})

    def scores(self) -> pd.DataFrame:
        """What noise costs, a row each, with 95% intervals.

        - `icl`, `tvp`, `zero_shot`, `oracle`: errors without noise.
        - `KIND: icl area`: mean excess over the clean error between level 0 and the largest, the
          area between the two curves over the width of the grid.
        - `KIND: icl half level`: level at which half of what the examples gain without noise,
          E_zero - E_clean, is lost; linear between levels, inf where the grid ends before, nan
          where there is no gain to lose (below three standard errors).
        - `corrupted example: icl mean`: excess error, averaged over the position of the corrupted
          example; `icl last - first`: by how much the last example counts for more than the first.
        """
        rows = {}
        clean = self._clean()
        for mode in MODES:
            rows[mode] = _mean_with_interval(clean[mode])
        for kind in self.kinds:
            for mode in MODEL_MODES:
                rows[f"{kind}: {mode} area"] = _mean_with_interval(self.area(kind, mode))
                rows[f"{kind}: {mode} half level"] = self.half_level(kind, mode)
        if (self.data.kind == CORRUPTED).any():
            for mode in MODEL_MODES:
                influence = self.influence(mode).values
                last_first = influence[:, -1] - influence[:, 0]
                rows[f"{CORRUPTED}: {mode} mean"] = _mean_with_interval(influence.mean(1))
                rows[f"{CORRUPTED}: {mode} last - first"] = _mean_with_interval(last_first)
        return score_table(rows)

    def influence(self, mode: str) -> xr.DataArray:
        """Excess error (episode, level) when the example at position `level` is corrupted."""
        corrupted = self.curve(CORRUPTED)[mode].transpose("episode", "level").astype(float)
        return corrupted - self._clean()[mode][:, None]

    def area(self, kind: str, mode: str) -> Float[np.ndarray, " episode"]:
        """Mean height of each episode's error over its clean error, along the levels."""
        curve, levels = self._curve_values(kind, mode)
        return np.trapezoid(curve - curve[:, :1], levels, axis=1) / levels[-1]

    def half_level(self, kind: str, mode: str) -> tuple[float, float, float]:
        """Level at which half of the clean gain is lost: estimate, low, high; see `scores`."""
        curve, levels = self._curve_values(kind, mode)
        zero = self._clean()["zero_shot"]
        if np.isnan(defined(zero - curve[:, 0])).all():
            return NOTHING
        lost = curve - (zero + curve[:, 0])[:, None] / 2  # Mean is 0 where half is lost.
        return _with_interval(lambda means: first_rise(means, levels), lost)

    def crossing(self, other: "NoiseCurves", kind: str, mode: str) -> tuple[float, float, float]:
        """Level at which this model's mean error crosses the other's: estimate, low, high.

        Linear between levels, inf where the curves do not cross on the grid; of several crossings
        the first.

        Raises:
            InputError: the two were measured on different episodes.
        """
        self.check_comparable(other)
        (mine, levels), (theirs, _) = (each._curve_values(kind, mode) for each in (self, other))
        return _with_interval(lambda means: first_sign_change(means, levels), mine - theirs)

    @property
    def _clean_name(self) -> str:
        return str(self.data["shift"].values[self.data.kind.values == CLEAN][0])

    def _clean(self) -> dict[str, Float[np.ndarray, " episode"]]:
        clean = self.data.sel(shift=self._clean_name)
        return {mode: clean[mode].values.astype(float) for mode in MODES}

    def _curve_values(
        self, kind: str, mode: str
    ) -> tuple[Float[np.ndarray, "episode level"], Float[np.ndarray, " level"]]:
        curve = self.curve(kind)[mode].transpose("episode", "level")
        return curve.values.astype(float), curve.level.values


def noise_table(results: Mapping[str, NoiseCurves]) -> pd.DataFrame:
    """Comparable models, a row for each kind of noise and mode.

    Columns `model`, `minus`, `kind`, `mode`; `estimate`, `low`, `high` of the difference of their
    errors, averaged over the levels like an area (below 0: `model` is better); and
    `crossing`, `crossing_low`, `crossing_high`: the level at which their curves cross.
    """
    rows = []
    for name, reference in comparable_pairs(results):
        first, second = results[name], results[reference]
        first.check_comparable(second)
        for kind in first.kinds:
            for mode in MODEL_MODES:
                (mine, levels), (theirs, _) = (e._curve_values(kind, mode) for e in (first, second))
                area = np.trapezoid(mine - theirs, levels, axis=1) / levels[-1]
                bounds = _mean_with_interval(area)
                crossing = first.crossing(second, kind, mode)
                rows.append((name, reference, kind, mode, *bounds, *crossing))
    crossing = ("crossing", "crossing_low", "crossing_high")
    return pd.DataFrame(rows, columns=["model", "minus", "kind", "mode", *BOUNDS, *crossing])


def first_rise(
    curves: Float[np.ndarray, "resample level"], levels: Float[np.ndarray, " level"]
) -> Float[np.ndarray, " resample"]:
    """Level at which each curve first reaches 0 from below, linear between levels; else inf."""
    return np.where(curves[:, 0] >= 0, levels[0], _first(curves, levels, curves >= 0))


def first_sign_change(
    curves: Float[np.ndarray, "resample level"], levels: Float[np.ndarray, " level"]
) -> Float[np.ndarray, " resample"]:
    """Level at which each curve first has another sign than at level 0, linear between levels;
    inf if it never has.
    """
    start = np.sign(curves[:, :1])
    return np.where(start[:, 0] == 0, np.inf, _first(curves, levels, np.sign(curves) == -start))


def _first(
    curves: Float[np.ndarray, "resample level"],
    levels: Float[np.ndarray, " level"],
    beyond: np.ndarray,
) -> Float[np.ndarray, " resample"]:
    """Where each curve is 0 in the interval before the first level that is beyond."""
    after = np.maximum(beyond.argmax(1), 1)
    rows = np.arange(len(curves))
    low, high = curves[rows, after - 1], curves[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        place = levels[after - 1] + (levels[after] - levels[after - 1]) * low / (low - high)
    return np.where(beyond.any(1), place, np.inf)


def _with_interval(
    statistic: Callable[[Float[np.ndarray, "resample level"]], Float[np.ndarray, " resample"]],
    values: Float[np.ndarray, "episode level"],
) -> tuple[float, float, float]:
    """A statistic of mean curves, where inf is an answer: estimate, low, high."""
    estimate = statistic(values.mean(0, keepdims=True))[0]
    resampled = np.minimum(statistic(resampled_means(values)), _NEVER)
    bounds = np.array([estimate, *interval(resampled)])
    estimate, low, high = np.where(bounds < _NEVER / 1e6, bounds, np.inf)
    return float(estimate), float(low), float(high)


def _mean_with_interval(values: Float[np.ndarray, " episode"]) -> tuple[float, float, float]:
    low, high = interval(resampled_means(values))
    return float(values.mean()), float(low), float(high)
