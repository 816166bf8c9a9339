"""What becomes of a model's errors when test data come from elsewhere than training data?"""

from collections.abc import Sequence

import xarray as xr
from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.shifted_errors import shifted_errors
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import DistributionShifts
from tvlens.shifts import ContextLength, Shift, Standard, Trial, suite
from tvlens.tasks import Task


def distribution_shifts(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    generator: Generator,
    shifts: Sequence[Shift] | None = None,
    position_ids: PositionIds | None = None,
) -> DistributionShifts:
    """Errors of the same episodes, unshifted and under each shift.

    The last example of each episode is asked after all others; the task vector is read before it
    and asked the last of `queries`.

    Args:
        queries: other examples of the same functions (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        generator: draws what the shifts draw; models that are to be compared need one in the same
            state.
        shifts: those that are asked; all that fit the task (`tvlens.shifts.suite`) if None.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: before anything is computed, if a shift does not fit the task, or its contexts
            are too long for the model.
    """
    trial = Trial.of(episodes, queries)
    asked = suite(task, trial) if shifts is None else tuple(shifts)

    def errors(some: Sequence[Shift]) -> xr.Dataset:
        return shifted_errors(
            model,
            task,
            format,
            trial,
            some,
            layer=layer,
            generator=generator,
            position_ids=position_ids,
        )

    data = errors([Standard(), *asked])
    lengths = zip([Standard(), *asked], data.examples.values.tolist(), strict=True)
    shorter = [
        n if n < trial.examples and not isinstance(shift, ContextLength) else None
        for shift, n in lengths
    ]
    names = [Standard().name if n is None else ContextLength(n).name for n in shorter]
    missing = {n for n in shorter if n is not None} - {
        shift.examples for shift in asked if isinstance(shift, ContextLength)
    }
    if missing:
        data = xr.concat([data, errors([ContextLength(n) for n in sorted(missing)])], dim="shift")
        names += [ContextLength(n).name for n in sorted(missing)]
    return DistributionShifts(data.assign_coords(reference=("shift", names)))
