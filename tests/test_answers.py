"""An answer is found again where nothing that it depends on has changed, and nowhere else."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tvlens as tvl
from tests.planted import planted_model
from tests.test_questions import planted_subject
from tvlens.commands.own_kinds import own_kinds
from tvlens.prompts import PositionIds
from tvlens.results import LocalityMap
from tvlens.studies import answers as answers_module
from tvlens.studies.answers import Answers, digest
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS

MAP = QUESTIONS["locality_map"]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Ask the locality map of a subject, and tell whether it was computed."""
    original, calls = tvl.analysis.locality_map, []

    def counted(*args: Any, **options: Any) -> LocalityMap:
        calls.append(args)
        return original(*args, **options)

    counted.__wrapped__ = original  # pyright: ignore[reportFunctionMemberAccess]
    counted.__annotations__ = original.__annotations__
    monkeypatch.setattr(tvl.analysis, "locality_map", counted)

    def ask(subject: tvl.Subject, question: Question = MAP, **options: Any) -> bool:
        before = len(calls)
        Answers(tmp_path / "answers").ask(question, subject, **options)
        return len(calls) > before

    return ask


def test_an_answer_is_found_again(asked: Callable[..., bool], tmp_path: Path) -> None:
    subject = planted_subject()
    assert asked(subject)
    assert not asked(subject)
    assert not asked(planted_subject()), "the same weights in another object"
    assert not asked(dataclasses.replace(subject, name="another name"))
    assert not asked(subject, position_ids=None), "a default that is spelled out"
    again = Answers(tmp_path / "answers").ask(MAP, subject)
    assert again.data.drop_attrs().identical(tvl.analysis.locality_map(subject).data.drop_attrs())
    assert again.data.attrs["version"] == tvl.__version__


def test_an_answer_outlives_a_change_of_code(
    asked: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert asked(planted_subject())
    monkeypatch.setattr(answers_module, "code", lambda: "of another commit")
    assert not asked(planted_subject())
    known = Answers(tmp_path / "answers").ask(MAP, planted_subject())
    assert len(known.data.attrs["code"]) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"asked_layer": 2},
        {"test": tvl.Test(16, 4, seed=1)},
        {"test": tvl.Test(16, 3)},
        {"test": tvl.Test(17, 4)},
        {"task": tvl.LinearRegression(d=2, noise=0.1)},
        {"models": (planted_model(3, 1, 3, 2),)},
        {"untrained": (planted_model(3, 1, 3, 2),)},
        {"training": tvl.Training(tvl.LinearRegression(d=2), tvl.ZXY, 4)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_answer_depends_on_its_subject(
    asked: Callable[..., bool], changes: dict[str, Any]
) -> None:
    assert asked(planted_subject())
    assert asked(planted_subject(**changes))
    assert not asked(planted_subject())


def test_an_answer_depends_on_every_weight() -> None:
    config = tvl.TransformerConfig(n_layers=1, d_model=8, n_heads=2)
    rng = torch.Generator().manual_seed(0)
    model = tvl.HookedTransformer(config, 4, 1, generator=rng)
    seen = {digest(model)}
    for weights in model.parameters():
        with torch.no_grad():
            weights.view(-1)[-1] += 1
        seen.add(digest(model))
    assert len(seen) == 1 + len(list(model.parameters()))
    heads = dataclasses.replace(config, n_heads=4)
    other = tvl.HookedTransformer(heads, 4, 1, generator=rng)
    other.load_state_dict(model.state_dict())
    assert digest(other) not in seen, "the same weights in other heads"


def test_an_answer_depends_on_options_and_the_version_of_its_question(
    asked: Callable[..., bool],
) -> None:
    assert asked(planted_subject())
    assert asked(planted_subject(), position_ids=PositionIds.KEEP)
    assert asked(planted_subject(), dataclasses.replace(MAP, version=2))
    assert not asked(planted_subject(), dataclasses.replace(MAP, title="In other words?"))


def test_a_damaged_answer_is_computed_again(asked: Callable[..., bool], tmp_path: Path) -> None:
    assert asked(planted_subject())
    (file,) = (tmp_path / "answers").glob("locality_map-*.nc")
    file.write_bytes(file.read_bytes()[:1000])
    assert asked(planted_subject())
    assert not asked(planted_subject())


OWN = """
from dataclasses import dataclass
import tvlens as tvl

@dataclass(frozen=True)
class Shrunk(tvl.LinearRegression):
    def apply(self, params, x):
        return {factor} * super().apply(params, x)
"""


def test_an_answer_depends_on_the_source_of_own_kinds(
    asked: Callable[..., bool], tmp_path: Path
) -> None:
    computed = []
    for number, factor in enumerate((0.5, 0.5, 0.25)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own.py").write_text(OWN.format(factor=factor))
        (kind,) = own_kinds([f"{folder / 'own.py'}:Shrunk"])
        computed.append(asked(planted_subject(task=kind(d=2))))
    assert computed == [True, False, True]


def test_an_answer_depends_on_the_snapshots_of_a_training(tmp_path: Path) -> None:
    model = planted_model(3, 1, 2, 2)
    asked = [
        answers_module.everything_asked(
            QUESTIONS["emergence"],
            planted_subject(snapshots=lambda steps=steps: iter([(step, model) for step in steps])),
            {},
        )
        for steps in ((0, 1), (0, 1), (0, 2))
    ]
    first, same, other = map(digest, asked)
    assert first == same != other
