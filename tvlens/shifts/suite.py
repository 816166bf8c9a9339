"""The shifts that models are tested on."""

from tvlens.base.errors import InputError
from tvlens.shifts.base import Shift, Trial
from tvlens.shifts.context import ContextLength, ShuffledOrder
from tvlens.shifts.functions import (
    HeavyTailedWeights,
    HeldOutOffsets,
    ScaledOutputs,
    SparseWeights,
)
from tvlens.shifts.inputs import (
    BiasedInputs,
    HalfSubspace,
    OneOrthant,
    Orthant,
    OrthogonalQuery,
    RepeatedQuery,
    ScaledInputs,
    SkewedInputs,
    Where,
)
from tvlens.tasks import Task

FACTORS = (1 / 3, 1 / 2, 2.0, 3.0)


def suite(task: Task, trial: Trial) -> tuple[Shift, ...]:
    """All shifts of the suite that a task can take: those of Garg et al. (arXiv 2208.01066), each
    for the context, the query, and both, and some more.
    """
    every: tuple[Shift, ...] = (
        ShuffledOrder(),
        ContextLength(2 * trial.examples),
        RepeatedQuery(),
        *(ScaledInputs(factor, where) for where in Where for factor in FACTORS),
        *(BiasedInputs(1.0, where) for where in Where),
        *(SkewedInputs(where) for where in Where),
        *(HalfSubspace(where) for where in Where),
        *(OneOrthant(query) for query in Orthant),
        OrthogonalQuery(),
        *(ScaledOutputs(factor) for factor in FACTORS),
        SparseWeights(),
        HeavyTailedWeights(),
        HeldOutOffsets(),
    )
    return tuple(shift for shift in every if _fits(shift, task, trial))


def _fits(shift: Shift, task: Task, trial: Trial) -> bool:
    try:
        shift.check(task, trial)
    except InputError:
        return False
    return True
