"""Where in a context the residual stream knows which function is asked."""

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import interval, resampled_means
from tvlens.results.ratios import defined_gain, score_table, shares


class PatchMap(Result):
    """Errors of the last answer in contexts that show the labels of another function.

    All are scored against the right function, in single episodes:

    - `clean`, `corrupt` (episode): a context of the right function, and of the other.
    - `patched` (episode, layer, role, tokens): the corrupt context, where the residual stream at a
      layer and role is that of the clean one; at the `last` token of the role, or at `all`.
    - `removed` (episode, layer, role, tokens): where it is its mean over clean contexts instead.

    Attributes: `carrier` and `answer` (roles), `format`, `task`.
    """

    def restored(self) -> xr.Dataset:
        """Share of the answer that a patch brings back, over (patch, layer, role, tokens).

        (E_corrupt - E_patched) / (E_corrupt - E_clean), of means over episodes: 1 is all, 0
        nothing. `removed` is the control: to forget the wrong function brings some of the answer
        back (half, where errors are squares), without knowing the right one. Shares are nan where
        E_corrupt - E_clean is below three standard errors.

        Variables `estimate`, `low`, `high` (95% interval), `p` and `q` (adjusted for all cells).
        """
        data = self.data
        patches = pd.Index(["patched", "removed"], name="patch")
        errors = xr.concat([data.patched, data.removed], patches)
        result = shares(data.corrupt - errors, defined_gain(data.corrupt, data.clean, "episode"))
        return result.assign_attrs(data.attrs)

    def scores(self) -> pd.DataFrame:
        """Errors, and for each role the share that its tokens bring back at their best layer.

        - `clean`, `corrupt`: errors.
        - `x_last`, `x_all`, and so on: the largest share over layers, for the last token of a role
          and for all; `x_last_removed`: what removing brings back at the same layer. Layer 0, where
          the tokens that differ are themselves exchanged, and the last layer, where an answer token
          holds nothing but the answer, are left out, which leaves none of a model of one block. The
          best layer is chosen on the same episodes.
        """
        rows = {}
        for name in ("clean", "corrupt"):
            errors = self.data[name].values
            rows[name] = (errors.mean(), *interval(resampled_means(errors)))
        restored = self.restored().sel(layer=slice(1, int(self.data.layer.max()) - 1))
        if not restored.sizes["layer"]:
            return score_table(rows)
        for role, tokens in itertools.product(self.data.role.values, self.data.tokens.values):
            each = restored.sel(role=role, tokens=tokens)
            best = int(each.estimate.sel(patch="patched").fillna(-np.inf).values.argmax())
            for patch, ending in (("patched", ""), ("removed", "_removed")):
                rows[f"{role}_{tokens}{ending}"] = each.sel(patch=patch).isel(layer=best)
        return score_table(rows)
