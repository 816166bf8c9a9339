"""A training state as one safetensors file, from which training continues bit by bit as before."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from tvlens.base.errors import InputError
from tvlens.base.files import write_whole
from tvlens.results import History
from tvlens.results.history import Row
from tvlens.training.experiment import Experiment
from tvlens.training.loop import TrainState, check_state
from tvlens.training.objectives import Losses
from tvlens.training.seeds import Seeds


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, whole or not at all."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_whole(path, lambda file: save_file(contiguous, file, metadata))


def load_tensors(
    path: Path, device: torch.device | str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, which can hold no code.

    Raises:
        InputError: the file is not there, cut off, or no safetensors file.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is no whole safetensors file ({error}); it was cut off or changed. Restore "
            "it from a copy, or train again in another folder."
        ) from error


def load_weights(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Put weights into a model.

    Raises:
        InputError: names, shapes, dtypes or values are not what this model needs.
    """
    expected = model.state_dict()
    wrong = sorted(set(expected) ^ set(tensors)) or [
        name
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype
    ]
    if wrong:
        raise InputError(
            f"{where} does not hold the weights that its experiment.json describes: "
            f"{', '.join(wrong[:3])} {'differs' if len(wrong) == 1 else 'differ'}. One of the two "
            "files was changed."
        )
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise InputError(f"{where} holds values that are not finite, in {', '.join(broken[:3])}.")
    model.load_state_dict(tensors)


def save_checkpoint(path: Path, state: TrainState) -> None:
    """Write all that training needs to go on.

    Raises:
        DivergenceError: the state is not worth keeping; what stood at `path` is left.
    """
    check_state(state)
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    for index, optimizer in enumerate(state.optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                tensors[f"optimizer.{index}.{parameter}.{name}"] = value
    for index, generator in enumerate(state.generators):
        tensors[f"generator.{index}"] = generator.get_state()
    for name in Row._fields:
        column = [getattr(row, name) for row in state.rows]
        tensors[f"history.{name}"] = torch.from_numpy(np.array(column, dtype=float))
    for index, losses in enumerate(state.pending):
        tensors[f"pending.{index:06d}"] = torch.stack(losses)
    save_tensors(path, tensors, {"step": str(state.step), "seconds": str(state.seconds)})


def load_checkpoint(path: Path, experiment: Experiment | Seeds, device: torch.device) -> TrainState:
    """The state that `save_checkpoint` wrote.

    Raises:
        InputError: the file is not a whole checkpoint of this experiment.
    """
    tensors, metadata = load_tensors(path, device)
    state = TrainState.start(experiment, device)
    try:
        state.step, state.seconds = int(metadata["step"]), float(metadata["seconds"])
        load_weights(state.model, _under("model.", tensors), path)
        for index, optimizer in enumerate(state.optimizers):
            values: dict[int, dict[str, Any]] = {}
            for name, tensor in _under(f"optimizer.{index}.", tensors).items():
                parameter, key = name.split(".")
                values.setdefault(int(parameter), {})[key] = tensor
            _check_optimizer(optimizer, values)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": values})
        for index, generator in enumerate(state.generators):
            generator.set_state(tensors[f"generator.{index}"].cpu())
        state.rows = _rows(_under("history.", tensors))
        experiment.history(state.rows)  # Checks the shapes.
        pending = sorted(_under("pending.", tensors).items())
        state.pending = [Losses(*tensor.unbind()) for _, tensor in pending]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a checkpoint that tvlens wrote ({error}).") from error
    return state


def _rows(columns: dict[str, Tensor]) -> list[Row]:
    """The rows whose columns a checkpoint holds."""
    steps, rates = columns.pop("step").tolist(), columns.pop("learning_rate").tolist()
    losses = zip(*(columns[name].cpu().numpy() for name in History.LOSSES), strict=True)
    return [
        Row(int(step), total, icl, tvp, rate)
        for step, (total, icl, tvp), rate in zip(steps, losses, rates, strict=True)
    ]


def _check_optimizer(optimizer: Optimizer, values: dict[int, dict[str, Tensor]]) -> None:
    """Raise ValueError unless every parameter has the same values, scalars or of its shape."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    names = [set(values.get(index, {})) for index in range(len(parameters))]
    fits = all(
        tensor.shape in ((), parameters[index].shape)
        for index, each in values.items()
        for tensor in each.values()
    )
    if not fits or not names[0] or any(each != names[0] for each in names):
        raise ValueError("what its optimizers remember does not fit the weights")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
