"""What single heads and MLPs do for the task vector and for the answer."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import adjusted
from tvlens.results.shares import effective_number, shares

BOUNDS = ["estimate", "low", "high"]
ABLATIONS = {"written": "tvp", "gathered": "tvp", "read": "tvp", "in_context": "icl"}
"""What is lost without a part, and the error with it."""
PATCHES = ("carrier", "carrier_removed", "answer", "answer_removed")
"""What is restored in a corrupted context."""


class PartEffects(Result):
    """Errors of single episodes when a head or an MLP is changed, all at the longest context.

    With nothing changed (episode): `icl` (full context), `tvp` (zero-shot prompt with the vector
    of the last carrier), `zero_shot` (the same prompt untouched), `corrupt` (the labels of another
    function in the context; scored against the first).

    Over (episode, part), where a part puts out its mean over episodes:

    - `written`: error of `tvp` when the part did so at the last carrier while the vector was read.
    - `gathered`: the same, at every token of the context.
    - `read`: error of `tvp` when it does so at the answer token of the prompt with the vector.
    - `in_context`: error of `icl` when it does so at every token.

    Over (episode, part), in the corrupted context:

    - `carrier`, `answer`: error when at the last carrier, or at the last answer token, the part
      puts out what it does in the clean context.
    - `carrier_removed`, `answer_removed`: when it puts out its mean there. What this restores, it
      restores by forgetting the wrong function, not by knowing the right one.

    Parts are heads ("head 2.3" is the third of the second block), all heads of a block together
    ("heads 2"), and MLPs ("MLP 2"); the coordinate `kind` (part) is "head", "heads" or "MLP".

    Attributes: `layer` (of the vector), `carrier` (role), `format`, `task`, `position_ids`.
    """

    def effects(self) -> xr.Dataset:
        """How much each part matters, over (effect, part).

        What a part that puts out its mean takes away is (E_without - E_with) / (E_zero - E_icl), so
        for a vector it is the recovery lost. What a part restores is
        (E_corrupt - E_patched) / (E_corrupt - E_icl). 1 is everything, 0 nothing.

        Variables `estimate`, `low`, `high` (95% interval), `p` and `q` (adjusted for all cells).
        """
        data = self.data
        gain, gap = data.zero_shot - data.icl, data.corrupt - data.icl
        found = [shares(data[name] - data[base], gain) for name, base in ABLATIONS.items()]
        found += [shares(data.corrupt - data[name], gap) for name in PATCHES]
        result = xr.concat(found, pd.Index([*ABLATIONS, *PATCHES], name="effect"))
        result["q"] = result.p.copy(data=adjusted(result.p.values))
        return result.assign_attrs(data.attrs)

    def scores(self) -> pd.DataFrame:
        """Two numbers for each effect, over single heads and MLPs.

        - `.._largest`: that of the part with the largest (`effects` tells which).
        - `.._parts`: how many parts share it evenly: exp(entropy) of positive effects; nan where
          the interval of the largest reaches 0.
        """
        effects, rows = self.effects(), {}
        single = effects.sel(part=effects.kind != "heads")
        for effect in effects.effect.values:
            each = single.sel(effect=effect)
            values = each.estimate.values
            largest = each.isel(part=int(values.argmax()))
            rows[f"{effect}_largest"] = [float(largest[bound]) for bound in BOUNDS]
            number = effective_number(values) if largest.low > 0 else np.nan
            rows[f"{effect}_parts"] = [float(number), np.nan, np.nan]
        return pd.DataFrame.from_dict(rows, orient="index", columns=BOUNDS)
