"""Our Muon against PyTorch's own and against singular value decompositions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from tvlens.training import muon
from tvlens.training.checkpoints import load_checkpoint, save_checkpoint
from tvlens.training.loop import TrainState
from tvlens.training.muon import COEFFICIENTS, STEPS, BatchedMuon, orthogonalize
from tvlens.training.presets import PRESETS

CPU = torch.device("cpu")
SHAPES = [(6, 6), (4, 9), (9, 4), (6, 6), (9, 4), (1, 5), (5, 1), (3, 3)]
RATE, MOMENTUM = 0.02, 0.9


def matrices(shapes: list[tuple[int, ...]], seed: int, dtype: torch.dtype) -> list[Tensor]:
    generator = Generator().manual_seed(seed)
    return [
        torch.randn(each, generator=generator, dtype=torch.float64).to(dtype) for each in shapes
    ]


def ours(parameters: list[nn.Parameter]) -> BatchedMuon:
    return BatchedMuon(parameters, learning_rate=RATE, momentum=MOMENTUM)


def theirs(parameters: list[nn.Parameter]) -> torch.optim.Muon:
    return torch.optim.Muon(parameters, lr=RATE, momentum=MOMENTUM, weight_decay=0.0)


def trained(
    make: Callable[[list[nn.Parameter]], Optimizer], dtype: torch.dtype, *, steps: int = 4
) -> list[Tensor]:
    """Weights after some steps along random gradients, the rate of which changes."""
    parameters = [nn.Parameter(each) for each in matrices(SHAPES, 0, dtype)]
    optimizer = make(parameters)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE / (step + 1)
        for parameter, gradient in zip(parameters, matrices(SHAPES, 1 + step, dtype), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What PyTorch's Muon does in float64 throughout, where it rounds to bfloat16 otherwise."""
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "bfloat16", Tensor.double)
        return trained(theirs, torch.float64)


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the device is said to multiply bfloat16."""
    monkeypatch.setattr(muon, "_multiplies_bfloat16", lambda _: request.param)
    return request.param


def test_in_float64_it_is_the_muon_of_pytorch(exact: list[Tensor]):
    assert_close(trained(ours, torch.float64), exact, rtol=0, atol=1e-13)


def test_in_float32_it_is_as_near_as_rounding_allows(exact: list[Tensor], rounds: bool):
    """Steps of the tallest matrix here are about 0.02 sqrt(5) long, and bfloat16 has 8 bits."""
    for got, expected in zip(trained(ours, torch.float32), exact, strict=True):
        assert got.dtype == torch.float32
        assert_close(got.double(), expected, rtol=0, atol=2e-3 if rounds else 2e-6)


def test_in_bfloat16_it_is_as_near_to_float64_as_that_of_pytorch(
    exact: list[Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(muon, "_multiplies_bfloat16", lambda _: True)

    def error(weights: list[Tensor]) -> float:
        return max(float((w - e).abs().max()) for w, e in zip(weights, exact, strict=True))

    assert error(trained(ours, torch.float32)) < 1.5 * error(trained(theirs, torch.float32))


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_go_through_the_polynomial_and_vectors_stay(shape: tuple[int, ...]):
    a, b, c = COEFFICIENTS
    batch = torch.stack(matrices([shape] * 3, 0, torch.float64)) * 100
    for matrix, got in zip(batch, orthogonalize(batch), strict=True):
        u, values, vh = torch.linalg.svd(matrix, full_matrices=False)
        values = values / values.square().sum().sqrt()
        for _ in range(STEPS):
            values = a * values + b * values**3 + c * values**5
        assert_close(got, u @ values.diag() @ vh, rtol=0, atol=1e-12)


def test_a_matrix_of_zeros_stays(rounds: bool):
    assert torch.equal(orthogonalize(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


def test_a_stack_of_seeds_trains_as_each_alone():
    """Stacks of three, with gradients that are millions of times larger for one seed."""
    scale = torch.tensor([1.0, 1e-6, 1e6], dtype=torch.float64)[:, None, None]
    stacked = [(3, *shape) for shape in SHAPES]
    start, gradients = (matrices(stacked, seed, torch.float64) for seed in (0, 1))
    gradients = [each * scale for each in gradients]

    def moved(choose: Callable[[Tensor], Tensor]) -> list[Tensor]:
        parameters = [nn.Parameter(choose(each).clone()) for each in start]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = choose(gradient)
        ours(parameters).step()
        return [parameter.detach() for parameter in parameters]

    together = moved(lambda each: each)
    for seed in range(3):
        alone = moved(lambda each, seed=seed: each[seed])
        assert_close([each[seed] for each in together], alone, rtol=0, atol=1e-13)


def test_a_rate_may_be_a_tensor():
    def with_tensor(parameters: list[nn.Parameter]) -> Optimizer:
        optimizer = ours(parameters)
        optimizer.param_groups[0]["lr"] = torch.tensor(RATE, dtype=torch.float64)
        return optimizer

    assert_close(
        trained(with_tensor, torch.float64, steps=1), trained(ours, torch.float64, steps=1)
    )


# Training


def started(name: str) -> TrainState:
    """A preset's state, with a gradient for each parameter."""
    state = TrainState.start(PRESETS[name], CPU)
    generator = Generator().manual_seed(0)
    for parameter in state.model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return state


class Operations(TorchDispatchMode):
    """Counts what PyTorch has to compute; to look at the same memory differently is free."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.namespace == "aten" and not func.is_view
        return func(*args, **(kwargs or {}))


def test_operations_do_not_grow_with_the_number_of_matrices(rounds: bool):
    counts = {}
    for name in ("offset-tvp-small", "linear-tvp-small"):
        muon_of_blocks = started(name).optimizers[0]
        muon_of_blocks.step()
        with Operations() as operations:
            muon_of_blocks.step()
        counts[name] = operations.count
    assert counts["offset-tvp-small"] == counts["linear-tvp-small"] == (96 if rounds else 88)


def test_a_checkpoint_of_the_muon_of_pytorch_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Muon was PyTorch's before. Without bfloat16 both take the same next step."""
    experiment = PRESETS["offset-tvp-small"]
    state = started("offset-tvp-small")
    (group,) = state.optimizers[0].param_groups
    state.optimizers[0] = torch.optim.Muon(
        group["params"], lr=group["lr"], momentum=group["momentum"], weight_decay=0.0
    )
    for optimizer in state.optimizers:
        optimizer.step()
    save_checkpoint(tmp_path / "checkpoint.safetensors", state)
    loaded = load_checkpoint(tmp_path / "checkpoint.safetensors", experiment, CPU)
    assert isinstance(loaded.optimizers[0], BatchedMuon)
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.double)
    monkeypatch.setattr(muon, "_multiplies_bfloat16", lambda _: False)
    for each in (state, loaded):
        for parameter, old in zip(
            each.model.parameters(), started("offset-tvp-small").model.parameters(), strict=True
        ):
            parameter.grad = old.grad
        each.optimizers[0].step()
    for got, expected in zip(loaded.model.parameters(), state.model.parameters(), strict=True):
        assert_close(got, expected, rtol=0, atol=1e-6)
