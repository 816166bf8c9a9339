"""Training on a device that is not the CPU, without having one.

PyTorch lets Python register a device, and its fake tensors have a place but no values: mixing two
places raises, and so does looking at a value. So a tensor in the wrong place is found, and so is a
host that waits for its device. The device stays registered for good, hence a subprocess, which is
this file run as a script.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration

from tvlens.models import HookedTransformer, Positions, TransformerConfig
from tvlens.prompts import TOKEN_FORMATS, PositionIds
from tvlens.tasks import LinearRegression, Sinusoid, TokenOffset
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.icl_objective import AllLengths, ICLObjective, LastLength, Query, RandomLengths
from tvlens.training.loop import TrainState, training_step
from tvlens.training.optimization import Muon

DEVICE = "fakegpu:0"
TASKS = (LinearRegression(noise=0.1), Sinusoid(noise=0.1), TokenOffset(vocabulary=6, noise=0.1))

needs_python_devices = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has lost its experimental API for devices made in Python",
)


@pytest.fixture(scope="module")
def report() -> dict[str, dict[str, str]]:
    script = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert script.returncode == 0, script.stderr
    return json.loads(script.stdout)


@needs_python_devices
def test_training_stays_on_the_device_and_never_waits(
    report: dict[str, dict[str, str]],
) -> None:
    assert len(report["choices"]) > 20
    failed = {name: error for name, error in report["choices"].items() if error}
    assert not failed, "\n".join(f"{name}:\n{error}" for name, error in failed.items())


@needs_python_devices
@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ("weights elsewhere", "FakeTensorDeviceMismatchError"),
        ("data elsewhere", "FakeTensorDeviceMismatchError"),
        ("generator elsewhere", "GeneratorDeviceError"),
        ("value looked at", "DataDependentOutputException"),
        ("values sent while the host waits", "NotImplementedError"),
    ],
)
def test_a_mistake_would_be_found(
    report: dict[str, dict[str, str]], mistake: str, error: str
) -> None:
    assert report["mistakes"][mistake] == error


def test_initial_weights_are_the_same_whatever_the_device() -> None:
    """Drawn on the CPU: the meta device stands for one whose own generator would differ."""
    generators = [Generator().manual_seed(0) for _ in range(2)]
    for generator, device in zip(generators, ("cpu", "meta"), strict=True):
        HookedTransformer(TransformerConfig(), 3, 1, generator=generator, device=device)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


class FakeGenerator(Generator):
    """A generator that says it is on the device; there is no way to make a real one."""

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return torch.device(DEVICE)


class GeneratorDeviceError(RuntimeError):
    """A generator used for a tensor elsewhere, which a GPU refuses and fake tensors let pass."""


class GeneratorsStayHome(TorchFunctionMode):
    """Raise GeneratorDeviceError where a GPU would refuse."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is not None:
            in_place = bool(args) and isinstance(args[0], Tensor)
            device = args[0].device if in_place else torch.device(kwargs.get("device") or "cpu")
            if device != generator.device:
                raise GeneratorDeviceError(f"{func} on {device} with one of {generator.device}")
        return func(*args, **kwargs)


class DataElsewhere(LinearRegression):
    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        return torch.randn(len(params), shots, self.d)


class GeneratorElsewhere(LinearRegression):
    def sample_inputs(self, params: Tensor, shots: int, *, generator: Generator) -> Tensor:
        shape = (len(params), shots, self.d)
        return torch.randn(shape, generator=Generator(), device=generator.device)


class ValueLookedAt(LinearRegression):
    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        return super().apply(params, x) * x.abs().max().item()


class ValuesSent(LinearRegression):
    def apply(self, params: Tensor, x: Tensor) -> Tensor:
        return super().apply(params, x) * torch.tensor([2.0], device=x.device)


def small(**changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "model": TransformerConfig(n_layers=2, d_model=8, n_heads=2, n_ctx=24),
        "train": TrainConfig(batch=3, examples=4),
    }
    return Experiment(**(fields | changes))


def tvp(**changes: Any) -> ICLObjective:
    return ICLObjective(**({"tvp_weight": 1.0, "tvp_layer": 1, "query": Query.FRESH} | changes))


def experiments() -> Iterator[tuple[str, Experiment]]:
    """Every choice that changes what is computed, and those of the TVP loss in all combinations."""
    for task in TASKS:
        yield f"vanilla {type(task).__name__}", small(task=task)
        yield f"tvp {type(task).__name__}", small(task=task, objective=tvp())
    for format in TOKEN_FORMATS:
        yield f"tvp {format.name}", small(format=format, objective=tvp())
    for lengths, query, position_ids in itertools.product(
        (AllLengths(), LastLength(), RandomLengths(2)), Query, PositionIds
    ):
        yield (
            f"{lengths} {query} {position_ids}",
            small(objective=tvp(lengths=lengths, query=query, position_ids=position_ids)),
        )
    for positions in Positions:
        model = TransformerConfig(n_layers=2, d_model=8, n_heads=2, n_ctx=24, positions=positions)
        yield f"positions {positions}", small(model=model, objective=tvp())
    for layer in (0, 2):
        yield f"layer {layer}", small(objective=tvp(tvp_layer=layer))
    yield "stop gradient", small(objective=tvp(stop_gradient=True))
    yield "muon", small(objective=tvp(), train=TrainConfig(batch=3, examples=4, optimizer=Muon()))


def start(experiment: Experiment) -> TrainState:
    model = experiment.build_model(device=DEVICE)
    return TrainState(model, experiment.train.optimizer.build(model), [FakeGenerator()])


def check_training(experiment: Experiment) -> None:
    state = start(experiment)
    for loss in training_step(experiment, state):
        assert loss.device == torch.device(DEVICE)
    for parameter in state.model.parameters():
        assert parameter.device == torch.device(DEVICE)
        assert parameter.dtype is torch.float32


def mistakes() -> Iterator[tuple[str, Callable[[], None]]]:
    for name, task in (
        ("data elsewhere", DataElsewhere()),
        ("generator elsewhere", GeneratorElsewhere()),
        ("value looked at", ValueLookedAt()),
        ("values sent while the host waits", ValuesSent()),
    ):
        yield name, lambda task=task: check_training(small(task=task))

    def weights_elsewhere() -> None:
        state = start(small())
        state.model.W_pos = nn.Parameter(torch.zeros(24, 8, device="cpu"))
        training_step(small(), state)

    yield "weights elsewhere", weights_elsewhere


def error_of(check: Callable[[], None]) -> Exception | None:
    try:
        check()
    except Exception as error:
        return error
    return None


def describe(error: Exception | None) -> str:
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{''.join(traceback.format_list(ours))}{type(error).__name__}: {str(error)[:300]}"


def register_device() -> None:
    class Backend(backend_registration._DummyBackendModule):
        # torch.autocast asks, even when it is switched off. Switched on it has no kernels here.
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

    backend_registration._setup_privateuseone_for_python_backend(
        rename="fakegpu", backend_module=Backend()
    )


@contextlib.contextmanager
def fake_device() -> Iterator[None]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    # A fake tensor cannot be converted in place; these models have the default dtype anyway.
    HookedTransformer.to = lambda self, *_, **__: self
    with FakeTensorMode(), GeneratorsStayHome():
        yield


def main() -> None:
    register_device()
    choices, wrong = dict(experiments()), dict(mistakes())
    with fake_device():
        report = {
            "choices": {
                name: describe(error_of(lambda each=each: check_training(each)))
                for name, each in choices.items()
            },
            "mistakes": {name: type(error_of(check)).__name__ for name, check in wrong.items()},
        }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
