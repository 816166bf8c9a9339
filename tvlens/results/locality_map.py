"""Where, and how strongly, a model keeps its task."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.icl_curve import ICLCurve
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import defined, effective_number, score_table

_ERRORS = ("icl", "zero_shot", "oracle", "tvp", "window", "ablated", "ignorant")
_CONTROLS = ("shuffled", "random", "untrained")


class LocalityMap(Result):
    """Error of task-vector prompting at every site, with its controls.

    All variables are errors of single episodes, in the task's unit (0 is right, about 1 is knowing
    nothing):

    - `tvp` (episode, layer, role, examples): a vector read at the site replaces the residual there
      in a zero-shot prompt; nan where a role has no token yet. The coordinate `written` (role) says
      which token it replaces: the carrier, for a role that a zero-shot prompt does not have.
    - `icl`, `zero_shot`, `oracle` (episode, examples): full context, no context, best predictor.
    - `shuffled`, `random` (episode, layer, examples): at the carrier, the vector of another
      episode, and a random vector of the same norm.
    - `untrained` (episode, layer, examples): an untrained model prompted with its own vectors.
    - `window` (episode, layer): full context, but above the layer the tokens of the last query see
      only each other; a carrier that does not answer keeps the states of the full context.
    - `ablated` (episode, layer): full context, but from the layer on the last carrier is kept at
      the state it has without a context.
    - `ignorant` (episode): no context, asked what `window` and `ablated` ask, at their positions.

    Attributes: `carrier` (role), `format`, `task`, `position_ids`, and what the caller adds.
    """

    @property
    def carrier(self) -> str:
        """The role that carries the vector."""
        return self.data.attrs["carrier"]

    def recovery(self) -> xr.Dataset:
        """Share of what in-context learning gains that the vector alone gains.

        R = (E_zero - E_tvp) / (E_zero - E_icl), of means over episodes: 1 is all, 0 nothing,
        below 0 harm. Variables `estimate`, `low`, `high` (95% interval) over (layer, role,
        examples); nan where in-context learning gains less than three standard errors.
        """
        data = self.data
        gain = defined((data.zero_shot - data.icl).transpose("episode", "examples").values)
        tvp = data.tvp.transpose("episode", "layer", "role", "examples")
        saved = data.zero_shot.transpose("episode", "examples").values[:, None, None] - tvp.values
        resampled = resampled_means(saved) / resampled_means(gain)[:, None, None]
        low, high = interval(resampled)
        estimate = saved.mean(0) / gain.mean(0)
        template = tvp.isel(episode=0, drop=True)
        values = zip(BOUNDS, (estimate, low, high), strict=True)
        result = xr.Dataset({name: template.copy(data=value) for name, value in values})
        return result.assign_attrs(data.attrs)

    def best_layer(self) -> int:
        """The layer whose carrier vector recovers most at the longest context."""
        return int(self._at_longest("tvp").sel(role=self.carrier).mean("episode").idxmin())

    def curve(self) -> ICLCurve:
        """Errors against the number of examples, with the best layer's vector."""
        data = self.data[["icl", "zero_shot", "oracle"]]
        layer = self.best_layer()
        tvp = self.data.tvp.sel(layer=layer, role=self.carrier, drop=True)
        data["tvp"] = tvp.reset_coords(drop=True)
        return ICLCurve(data.assign_attrs(layer=layer))

    def scores(self) -> pd.DataFrame:
        """Strength and locality at the longest context, a row each, with 95% intervals.

        - `best_layer`: the one whose carrier vector recovers most; it has no interval.
        - `icl`, `zero_shot`, `oracle`: errors.
        - `recovery`: of the best layer's carrier vector.
        - `strength`: the same, but each half of the episodes uses the layer that is best on the
          other half, so that choosing it gives no advantage.
        - `shuffled`, `random`, `untrained`: recovery with the controls at the same layer.
        - `layer_spread`: exp(entropy) of positive recovery over layers; 1 is a single layer. Both
          spreads are nan where the interval of the recovery reaches 0: there is nothing to spread.
        - `token_spread`: the same over roles at the best layer.
        - `sufficiency`: recovery when, above the best layer, the tokens of the query see only each
          other.
        - `necessity`: share of the gain that is lost when the last carrier is kept ignorant from
          the best layer on.
        - `locality`: sufficiency times necessity, 0 where one of them is negative.
        """
        gains = self._gains()
        estimates = self._scores({name: v.mean(0, keepdims=True) for name, v in gains.items()})
        resampled = self._scores({name: resampled_means(v) for name, v in gains.items()})
        rows = {"best_layer": (self.best_layer(), np.nan, np.nan)}
        rows |= {name: (estimates[name][0], *interval(resampled[name])) for name in estimates}
        if not rows["recovery"][1] > 0:
            rows["layer_spread"] = rows["token_spread"] = (np.nan, np.nan, np.nan)
        return score_table(rows)

    def _gains(self) -> dict[str, Float[np.ndarray, "episode ..."]]:
        """What each kind of prompt gains or loses in each episode, at the longest context."""
        errors = {
            name: self._at_longest(name).transpose("episode", ...).values.astype(float)
            for name in (*_ERRORS, *_CONTROLS)
        }
        zero, ignorant, icl = errors["zero_shot"], errors["ignorant"], errors["icl"]
        return {
            **{name: errors[name] for name in ("icl", "zero_shot", "oracle")},
            **{name: zero[:, None] - errors[name] for name in _CONTROLS},
            "tvp": zero[:, None, None] - errors["tvp"],
            "cross_fitted": zero - self._cross_fitted_errors(errors["tvp"]),
            "window": ignorant[:, None] - errors["window"],
            "ablated": errors["ablated"] - icl[:, None],
            "gain": defined(zero - icl),
            "own_gain": defined(ignorant - icl),
        }

    def _scores(
        self, means: dict[str, Float[np.ndarray, "resample ..."]]
    ) -> dict[str, Float[np.ndarray, " resample"]]:
        """The scores of several samples of episodes at once, from the mean gains of each."""
        best = list(self.data.layer.values).index(self.best_layer())
        carrier = list(self.data.role.values).index(self.carrier)
        recovery = means["tvp"] / means["gain"][:, None, None]
        sufficiency = means["window"][:, best] / means["own_gain"]
        necessity = means["ablated"][:, best] / means["own_gain"]
        return {
            **{name: means[name] for name in ("icl", "zero_shot", "oracle")},
            "recovery": recovery[:, best, carrier],
            **{name: means[name][:, best] / means["gain"] for name in _CONTROLS},
            "strength": means["cross_fitted"] / means["gain"],
            "layer_spread": effective_number(recovery[:, :, carrier]),
            "token_spread": effective_number(recovery[:, best, :]),
            "sufficiency": sufficiency,
            "necessity": necessity,
            "locality": np.maximum(sufficiency, 0) * np.maximum(necessity, 0),
        }

    def _cross_fitted_errors(
        self, tvp: Float[np.ndarray, "episode layer role"]
    ) -> Float[np.ndarray, " episode"]:
        """Carrier errors of each episode at the layer that is best for the other half."""
        errors = tvp[:, :, list(self.data.role.values).index(self.carrier)]
        chosen = np.empty(len(errors), dtype=int)
        chosen[::2], chosen[1::2] = (errors[half::2].mean(0).argmin() for half in (1, 0))
        return errors[np.arange(len(errors)), chosen]

    def _at_longest(self, name: str) -> xr.DataArray:
        errors = self.data[name]
        return errors.isel(examples=-1) if "examples" in errors.dims else errors


def locality_table(maps: Mapping[str, LocalityMap]) -> pd.DataFrame:
    """A row for each model, with the columns that one looks at first."""
    rows = []
    for name, each in maps.items():
        scores = each.scores()
        estimate, recovery = scores["estimate"], scores.loc["recovery"]
        row = {
            "model": name,
            "ICL error": f"{estimate['icl']:.4f}",
            "zero-shot error": f"{estimate['zero_shot']:.3f}",
            "best layer": each.best_layer(),
            "recovery": f"{recovery.estimate:.3f}",
            "95% interval": f"{recovery.low:.3f} to {recovery.high:.3f}",
        }
        for score in ("strength", "layer_spread", "token_spread", "locality"):
            row[score.replace("_", " ")] = f"{estimate[score]:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)
