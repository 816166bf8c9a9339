"""What becomes of a model's errors when test data come from elsewhere than training data?"""

from collections.abc import Sequence

import xarray as xr
from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, asks
from tvlens.analysis.shared.shifted_errors import fitting, shifted_errors
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import DistributionShifts
from tvlens.shifts import ContextLength, Shift, Standard, Trial, suite
from tvlens.subjects import Subject
from tvlens.tasks import Task


@asks(ONE_MODEL, CARRIER, LAYER)
def distribution_shifts(
    subject: Subject, *, position_ids: PositionIds | None = None
) -> DistributionShifts:
    """Errors of the same episodes, unshifted and under each shift that fits the task.

    The last example of each episode is asked after all others; the task vector is read before it
    and asked another one. Shifts whose contexts are too long for the model are left out; the
    result's attribute `left_out` names them.

    Args:
        subject: the model that is asked.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    return measure_distribution_shifts(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        generator=subject.generator(),
        position_ids=position_ids,
    )


def measure_distribution_shifts(
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
    """The same, of plain data.

    Args:
        model: what is asked.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts, and what is asked after them.
        queries: other examples of the same functions (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        generator: draws what the shifts draw; models that are to be compared need one in the same
            state.
        shifts: those that are asked; if None, all that fit the task (`tvlens.shifts.suite`) and
            whose contexts fit the model.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: before anything is computed, if a shift does not fit the task, or its contexts
            are too long for the model.
    """
    trial = Trial.of(episodes, queries)
    asked, left_out = tuple(shifts or ()), ()
    if shifts is None:
        asked, left_out = fitting(model, format, task, trial, suite(task, trial))

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
    data = data.assign_attrs(left_out=", ".join(each.name for each in left_out))
    return DistributionShifts(data.assign_coords(reference=("shift", names)))
