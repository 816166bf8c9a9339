"""What is lost, and what is no longer held, when a context is dropped above a layer."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from tvlens.results.base import Result
from tvlens.results.bounds import BOUNDS
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import Bounded, defined, means_with_intervals, score_table

WAYS = ("pruned", "evicted", "tvp")
FREE = 0.95
"""The share of the gain that is as good as all of it, for `Pruning.scores`."""


def cached_tokens(n_layers: int, layer: int, tokens: int, kept: int) -> int:
    """Tokens whose key and value are held, added up over blocks: all up to `layer`, the last `kept`
    ones above it. Each takes 2 d_model numbers.
    """
    return layer * tokens + (n_layers - layer) * kept


class Pruning(Result):
    """Errors of the answer when, above a layer, nothing is left of the context but the query.

    All variables are errors of single episodes, in the task's unit (0 is right, about 1 is knowing
    nothing). Over (episode, layer, examples):

    - `pruned`: above the layer only the tokens of the query (z x, or x ->) run, and see only each
      other. Of the tokens before nothing is computed there.
    - `evicted`: the context is read in full, and only the answering token can not see it above the
      layer: the carrier keeps the states of the full context. This saves no time when the context
      is read, and as much memory as `pruned` afterwards. The same as `pruned` where the carrier
      answers.
    - `tvp`: task-vector prompting with the carrier's vector of the layer.

    Over (episode, examples): `icl` (nothing is dropped), `zero_shot` (the prompts of `tvp`
    untouched), `oracle` (the best predictor there is). `pruned` at layer 0 is a zero-shot prompt
    too: of the query that `icl` answers, at its positions.

    The coordinate `tokens` (examples) is the length of the context in tokens. Attributes: `carrier`
    (role), `kept` (number of tokens that are left), `format`, `task`.
    """

    def kept(self) -> xr.Dataset:
        """Share of what in-context learning gains that is kept.

        (E_0 - E) / (E_0 - E_icl), of means over episodes, where E_0 is the error of the same
        query without a context: `pruned` at layer 0, and `zero_shot` for `tvp`. 1 is all, 0
        nothing, below 0 harm. Variables `estimate`, `low`, `high` (95% interval) over (way, layer,
        examples), where the ways are `pruned`, `evicted` and `tvp`; nan where in-context learning
        gains less than three standard errors.
        """
        shares = {way: self._shares(way) for way in WAYS}
        template = self.data.pruned.isel(episode=0, drop=True)
        ways = [
            xr.Dataset({name: template.copy(data=value) for name, value in shares[way].items()})
            for way in WAYS
        ]
        return xr.concat(ways, xr.Variable("way", list(WAYS))).assign_attrs(self.data.attrs)

    def cache(self) -> xr.DataArray:
        """Keys and values that are held, as a share of those of full inference; (layer, examples).

        Of one prompt, for decoding on: all tokens up to the layer, and the kept ones above it.
        """
        layers, tokens = self.data.layer.values.tolist(), self.data.tokens.values.tolist()
        top, kept = layers[-1], int(self.data.attrs["kept"])
        shares = [
            [cached_tokens(top, layer, n, kept) / (top * n) for n in tokens] for layer in layers
        ]
        return self.data.pruned.isel(episode=0, drop=True).copy(data=np.array(shares))

    def errors(self) -> xr.Dataset:
        """Mean errors, with the ends of their 95% intervals, along `bound`."""
        return means_with_intervals(self.data)

    def scores(self) -> pd.DataFrame:
        """What counts at the longest context, a row each, with 95% intervals.

        - `icl`, `zero_shot`, `oracle`: errors.
        - `kept_1` .. : share of the gain that is kept when pruned above layer 1, 2, ..
        - `free_layer`: the lowest layer from which on pruning keeps 95% of the gain at least.
        - `free_cache`: keys and values then held, as a share of all.
        - `evicted_free_layer`, `evicted_free_cache`: the same, when tokens are evicted after the
          context was read.
        """
        errors = self.errors()[["icl", "zero_shot", "oracle"]].isel(examples=-1)
        rows: dict[str, Bounded] = {str(name): errors[name].values for name in errors}
        kept = self.kept().isel(examples=-1).sel(way="pruned")
        for layer in self.data.layer.values[1:-1]:
            rows[f"kept_{layer}"] = kept.sel(layer=layer)
        cache = np.append(self.cache().isel(examples=-1).values, np.nan)
        for way, prefix in (("pruned", ""), ("evicted", "evicted_")):
            layers = self._free_layers(way)
            rows[f"{prefix}free_layer"] = layers
            places = np.nan_to_num(layers, nan=len(cache) - 1).astype(int)
            rows[f"{prefix}free_cache"] = cache[places]
        return score_table(rows)

    def _shares(self, way: str) -> dict[str, Float[np.ndarray, "layer examples"]]:
        """The share that is kept, and the ends of its interval."""
        saved, gain = self._saved_and_gain(way)
        low, high = interval(resampled_means(saved) / resampled_means(gain)[:, None])
        ends = zip(BOUNDS, (saved.mean(0) / gain.mean(0), low, high), strict=True)
        return {bound: np.asarray(values) for bound, values in ends}

    def _free_layers(self, way: str) -> Float[np.ndarray, " bound"]:
        """The lowest layer from which on enough is kept, and the ends of its interval."""
        saved, gain = (each[..., -1:] for each in self._saved_and_gain(way))
        low, high = interval(_lowest(resampled_means(saved) / resampled_means(gain)[:, None]))
        estimate = _lowest(saved.mean(0, keepdims=True) / gain.mean(0))[0]
        return np.array([estimate, np.floor(low), np.ceil(high)])

    def _saved_and_gain(
        self, way: str
    ) -> tuple[Float[np.ndarray, "episode layer examples"], Float[np.ndarray, "episode examples"]]:
        """How much better than without a context an answer is in each episode, when it is given in
        this way and with all of the context.
        """
        dims = ("episode", "layer", "examples")
        errors = self.data[way].transpose(*dims)
        alone = self.data.zero_shot if way == "tvp" else self.data.pruned.isel(layer=0, drop=True)
        saved = (alone - errors).transpose(*dims).values.astype(float)
        gain = (alone - self.data.icl).transpose("episode", "examples").values.astype(float)
        return saved, defined(gain)


def _lowest(shares: Float[np.ndarray, "sample layer 1"]) -> Float[np.ndarray, " sample"]:
    """The lowest layer such that it and all above keep enough; nan where shares are not defined."""
    below = ~(shares[..., 0] >= FREE)
    above_last = below.shape[1] - below[:, ::-1].argmax(1)
    lowest = np.where(below.any(1), above_last, 0).astype(float)
    return np.where(np.isnan(shares[:, -1, 0]), np.nan, lowest)
