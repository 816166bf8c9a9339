"""Covariances of inputs, as data that a task can hold."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tvlens.base.errors import InputError

Covariance = tuple[tuple[float, ...], ...]
"""Rows of a symmetric positive definite matrix; none for the identity."""


def check_covariance(covariance: Covariance, d: int) -> None:
    """Raise InputError unless it is one for vectors of width d."""
    if not isinstance(covariance, tuple) or not all(isinstance(row, tuple) for row in covariance):
        got = " ".join(repr(covariance).split())
        raise InputError(
            f"A covariance is given as rows of numbers, tuples in a tuple, got {got}. Of a matrix "
            "they are `tuple(map(tuple, matrix.tolist()))`."
        )
    if not covariance:
        return
    widths = {len(row) for row in covariance}
    if widths != {d} or len(covariance) != d:
        raise InputError(
            f"The covariance has {len(covariance)} rows of {sorted(widths)} numbers; for d = {d} "
            f"it must be {d} x {d}."
        )
    matrix = np.array(covariance, dtype=np.float64)
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
        raise InputError(f"The covariance must be finite and symmetric, got {covariance}.")
    values = np.linalg.eigvalsh(matrix)
    if values[0] <= 1e-9 * values[-1]:
        raise InputError(
            f"The covariance must be positive definite: its eigenvalues run from {values[0]:.3g} "
            f"to {values[-1]:.3g}, and inputs need spread, and their inverse a size, in every "
            "direction."
        )


def covariance_power(
    covariance: Covariance, d: int, exponent: float, like: Tensor
) -> Float[Tensor, "{d} {d}"]:
    """S^exponent, symmetric, with the dtype and on the device of `like`.

    Computed in float64 on the CPU, so that it means the same on every device.
    """
    if not covariance:
        return torch.eye(d, dtype=like.dtype, device=like.device)
    values, vectors = np.linalg.eigh(np.array(covariance, dtype=np.float64))
    power = (vectors * values**exponent) @ vectors.T
    return torch.as_tensor(power, dtype=like.dtype).to(like.device)
