"""Answers that are found again: a file for each, named after all that it depends on.

These are the question and its version, the options, and all of the subject: weights, task, format,
test and what it was trained for. The code is not among them: a commit that changes an answer raises
the version of its question, and all others leave what is known as it is.
"""

import dataclasses
import enum
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tvlens.analysis.shared.needs import SNAPSHOTS
from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder
from tvlens.base.provenance import provenance, source_files
from tvlens.results import Result
from tvlens.studies.question import Question
from tvlens.subjects import Subject

AnyResult = TypeVar("AnyResult", bound=Result)


@dataclass(frozen=True)
class Answers:
    """A folder of answers."""

    folder: Path

    def ask(self, question: Question, subject: Subject, **options: Any) -> Result:
        """What a question finds of a subject, now or in an earlier call.

        Args:
            question: what is asked.
            subject: who is asked.
            options: of the analysis.

        Raises:
            InputError: the folder cannot be written, or the question cannot be asked.
        """

        def answer() -> Result:
            found = question.analysis(subject, **options)
            found.data.attrs |= origin(subject)
            return found

        asked = everything_asked(question, subject, options)
        return self.keep(question.name, asked, question.result, answer)

    def keep(
        self, name: str, asked: Any, kind: type[AnyResult], compute: Callable[[], AnyResult]
    ) -> AnyResult:
        """What was computed before for the same, or is now; a damaged file counts for nothing.

        Args:
            name: what the file's name begins with.
            asked: all that the answer depends on: dataclasses, mappings, sequences, plain values.
            kind: of result.
            compute: finds the answer.
        """
        fingerprint = digest(asked)
        file = writable_folder(self.folder) / f"{name}-{fingerprint[:16]}.nc"
        known = _load(kind, file)
        if known is None or known.data.attrs.get("fingerprint") != fingerprint:
            found = compute()
            found.data.attrs |= {"fingerprint": fingerprint, "code": code()}
            found.save(file)
            # As it is read, so that it is the same now and when it is found again.
            known = kind.load(file)
        return known


def origin(subject: Subject) -> dict[str, Any]:
    """What a result says of where it is from."""
    facts = provenance(subject.device)
    return {
        "family": f"{subject.task}, {subject.format.name}",
        "seed": subject.test.seed,
        "version": facts["versions"]["tvlens"],
        "commit": facts["commit"] or "unknown",
    }


def code() -> str:
    """A hash of the package: says which code an answer is of, and does not void it."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in source_files())).hexdigest()


def digest(data: Any) -> str:
    """A hash of plain data."""
    return hashlib.sha256(json.dumps(plain(data), sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Data as JSON has it; models as what they compute, and anything else as it shows itself."""
    if isinstance(value, nn.Module):
        return _model(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return {"kind": type(value).__qualname__, **fields}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Tensor):
        return _bytes_of(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def everything_asked(
    question: Question, subject: Subject, options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that an answer depends on."""
    defaults = {name: each.default for name, each in question.options.items()}
    needs = getattr(question.analysis, "needs", ())
    kept = subject.snapshots() if SNAPSHOTS in needs and subject.snapshots is not None else ()
    return {
        "question": (question.name, question.version),
        "options": defaults | dict(options),
        "models": subject.models,
        "untrained": subject.untrained,
        "snapshots": [(step, plain(model)) for step, model in kept],
        "task": subject.task,
        "format": subject.format,
        "layer": subject.asked_layer,
        "test": subject.test,
        "training": subject.training,
        # Episodes are drawn on the device, and each kind of device draws others.
        "device": subject.device.type,
        "own": _own_sources(subject),
    }


def _load(kind: type[AnyResult], file: Path) -> AnyResult | None:
    try:
        return kind.load(file)
    except InputError:
        return None


def _model(model: nn.Module) -> dict[str, Any]:
    """The weights of a model, and what its modules are set to."""
    weights = {name: _bytes_of(tensor) for name, tensor in model.state_dict().items()}
    modules = {name: [type(each).__qualname__, _settings(each)] for name, each in _parts(model)}
    return {"weights": weights, "modules": modules}


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, each) for name, each in model.named_modules())


def _settings(module: nn.Module) -> dict[str, Any]:
    """Numbers, names and configurations of a module."""
    kept = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, str | int | float | enum.Enum) or dataclasses.is_dataclass(value)
    }
    return {name: plain(value) for name, value in kept.items() if name != "training"}


def _bytes_of(tensor: Tensor) -> list[Any]:
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(data.tobytes()).hexdigest()]


def _own_sources(subject: Subject) -> list[str]:
    """The source text of classes that are not of tvlens: what they do is known from it alone."""
    about = [subject.task, subject.format, *subject.models, subject.training]
    if subject.training is not None:
        about += [subject.training.task, subject.training.format]
    kinds = {kind for each in about for kind in type(each).__mro__}
    kinds = {kind for kind in kinds if kind.__module__.partition(".")[0] not in _FOREIGN}
    return sorted({_source(kind) for kind in kinds})


_FOREIGN = {"tvlens", "builtins", "typing", "abc", "torch", "transformer_lens"}
"""Packages whose classes are known by their name and the version of their question."""


def _source(kind: type) -> str:
    try:
        return Path(inspect.getfile(kind)).read_text()
    except (OSError, TypeError):
        pass
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return f"{kind.__qualname__} at {id(kind)}"  # Nobody can tell whether it is still the same.
