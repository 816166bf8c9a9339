"""The sets S_I and S_Sigma that A, B and C have minimisers in (arXiv 2506.09048, Theorem 1)."""

import torch
from jaxtyping import Float
from torch import Tensor


def project_identity(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The nearest multiple of the identity: the set S_I of A and B."""
    d = len(matrix)
    return matrix.trace() / d * torch.eye(d, dtype=matrix.dtype, device=matrix.device)


def project_precision(
    matrix: Float[Tensor, "d d"], covariance: Float[Tensor, "d d"]
) -> Float[Tensor, "d d"]:
    """The multiple of S^-1 that is nearest once x is whitened: the set S_Sigma of C.

    Args:
        matrix: C, or a change of it.
        covariance: S, that of x. A gradient in C is nearest to a multiple of S instead, because C
            enters as S^1/2 C S^1/2: give S^-1 to project one.
    """
    d = len(matrix)
    return (matrix @ covariance).trace() / d * torch.linalg.inv(covariance)
