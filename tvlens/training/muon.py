"""Muon, which orthogonalises all matrices of one shape in one batch."""

import math
from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

# Operations on lists of tensors have no public name.
# pyright: reportPrivateImportUsage=false

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd quintic polynomial that each step applies to the singular values: steep at 0."""
STEPS = 5
EPSILON = 1e-7
"""The least norm that a matrix is divided by."""


class BatchedMuon(Optimizer):
    """Muon (Jordan et al., 2024): Nesterov momentum, made orthogonal matrix by matrix.

    It takes the steps of `torch.optim.Muon` without weight decay, and names its state alike. But it
    runs the same few operations however many matrices of a shape there are, and it rounds to
    bfloat16 only where the device multiplies such numbers. Dimensions before the last two stack
    matrices.
    """

    def __init__(
        self, parameters: list[nn.Parameter], *, learning_rate: float, momentum: float
    ) -> None:
        """The learning rate is the size of an update's singular values, for wide matrices."""
        super().__init__(parameters, {"lr": learning_rate, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move all parameters; each must have a gradient."""
        for group in self.param_groups:
            parameters, momentum = group["params"], group["momentum"]
            gradients = [each.grad for each in parameters]
            momenta = [self._momentum(each) for each in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - momentum)
            updates = torch._foreach_lerp(gradients, momenta, momentum)
            by_shape: defaultdict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter, update in zip(parameters, updates, strict=True):
                by_shape[parameter.shape].append((parameter, update))
            for (*_, rows, columns), pairs in by_shape.items():
                moved, by = zip(*pairs, strict=True)
                # A product, since the rate may be a tensor, which a CUDA graph reads anew.
                size = group["lr"] * math.sqrt(max(1, rows / columns))
                torch._foreach_sub_(moved, (orthogonalize(torch.stack(by)) * size).unbind())

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def orthogonalize(
    matrices: Float[Tensor, "*batch row column"],
) -> Float[Tensor, "*batch row column"]:
    """Matrices with the same singular vectors, and with singular values moved near 1.

    It is the Newton-Schulz iteration, whose work grows with the square of the number of rows.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    rounds = matrices.dtype == torch.float32 and _multiplies_bfloat16(matrices.device)
    x = (matrices.mT if tall else matrices).flatten(0, -3)
    x = x.bfloat16() if rounds else x
    # A Frobenius norm of 1 bounds all singular values by 1.
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    # Contiguous as weights are, or a GPU would update them one by one.
    return (x.mT.contiguous() if tall else x).to(matrices.dtype).view_as(matrices)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether to round to bfloat16: on a GPU with units for it. CPUs differ in having them, and a
    seed should mean the same training on each; float32 costs them 2% of a small step.
    """
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
