"""What single heads and MLPs do for the task vector and for the answer."""

import numpy as np
import pandas as pd
import xarray as xr

from tvlens.results.base import Result
from tvlens.results.intervals import adjusted, interval
from tvlens.results.ratios import (
    defined_gain,
    effective_number,
    resampled_ratios,
    score_table,
    shares,
)

_ABLATIONS = {"written": "tvp", "gathered": "tvp", "read": "tvp", "in_context": "icl"}
"""What is lost without a part, and the error with it."""
_PATCHES = ("carrier", "carrier_removed", "answer", "answer_removed")
"""What is restored in a corrupted context."""
EFFECTS = (*_ABLATIONS, *_PATCHES)


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

    Parts are heads ("L1H2" is the third of the second block), all heads of a block together
    ("L1 heads"), and MLPs ("L1 MLP"); the coordinate `kind` (part) is "head", "heads" or "MLP".

    Attributes: `layer` (of the vector), `carrier` (role), `format`, `task`, `position_ids`.
    """

    def effects(self) -> xr.Dataset:
        """How much each part matters, over (effect, part).

        What a part that puts out its mean takes away is (E_without - E_with) / (E_zero - E_icl), so
        for a vector it is the recovery lost. What a part restores is
        (E_corrupt - E_patched) / (E_corrupt - E_icl). 1 is everything, 0 nothing; nan where what
        there is to lose or restore is below three standard errors.

        Variables `estimate`, `low`, `high` (95% interval), `p` and `q` (adjusted for all cells).
        """
        found = [shares(*self._ratio(effect)) for effect in EFFECTS]
        result = xr.concat(found, pd.Index(EFFECTS, name="effect"))
        result["q"] = result.p.copy(data=adjusted(result.p.values))
        return result.assign_attrs(self.data.attrs)

    def scores(self) -> pd.DataFrame:
        """Three numbers for each effect, without the controls.

        - `written_part`, ..: that of the head or MLP with the largest (`effects` tells which).
        - `written_block`, ..: that of all heads of a block, of the block with the largest.
        - `written_number`, ..: how many heads and MLPs share it evenly: exp(entropy) of positive
          effects; nan where the interval of the largest reaches 0.
        """
        rows = {}
        together = self.data.kind.values == "heads"
        for effect in EFFECTS:
            if effect.endswith("_removed"):
                continue
            estimate, resampled = resampled_ratios(*self._ratio(effect), "episode")
            for name, some in (("part", ~together), ("block", together)):
                largest = int(np.where(some, estimate, -np.inf).argmax())
                rows[f"{effect}_{name}"] = (estimate[largest], *interval(resampled[:, largest]))
            number = float(effective_number(estimate[~together]))
            spread = interval(effective_number(resampled[:, ~together]))
            clear = rows[f"{effect}_part"][1] > 0
            rows[f"{effect}_number"] = (number, *spread) if clear else (np.nan,) * 3
        return score_table(rows)

    def _ratio(self, effect: str) -> tuple[xr.DataArray, xr.DataArray]:
        """What is lost or restored in each episode, and what there is to lose or restore."""
        data = self.data
        if effect in _ABLATIONS:
            gain = defined_gain(data.zero_shot, data.icl, "episode")
            return data[effect] - data[_ABLATIONS[effect]], gain
        return data.corrupt - data[effect], defined_gain(data.corrupt, data.icl, "episode")
