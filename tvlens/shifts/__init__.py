"""What may change between training and test, as pure functions with explicit generators."""

from tvlens.shifts.base import Shift, Standard, Trial
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
    InputShift,
    OneOrthant,
    Orthant,
    OrthogonalQuery,
    RepeatedQuery,
    ScaledInputs,
    SkewedInputs,
    StretchedInputs,
    Where,
)
from tvlens.shifts.noise import (
    CorruptedExample,
    LabelNoise,
    Noise,
    OutlierLabels,
    TokenFlips,
    noise_grid,
)
from tvlens.shifts.suite import suite

__all__ = [
    "BiasedInputs",
    "ContextLength",
    "CorruptedExample",
    "HalfSubspace",
    "HeavyTailedWeights",
    "HeldOutOffsets",
    "InputShift",
    "LabelNoise",
    "Noise",
    "OneOrthant",
    "Orthant",
    "OrthogonalQuery",
    "OutlierLabels",
    "RepeatedQuery",
    "ScaledInputs",
    "ScaledOutputs",
    "Shift",
    "ShuffledOrder",
    "SkewedInputs",
    "SparseWeights",
    "Standard",
    "StretchedInputs",
    "TokenFlips",
    "Trial",
    "Where",
    "noise_grid",
    "suite",
]
