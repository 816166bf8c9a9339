import copy
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from tests.own_tasks import Quadratic
from tvlens.base.config import from_json, kinds_of, to_json
from tvlens.base.errors import InputError
from tvlens.models import Positions, TransformerConfig
from tvlens.prompts import PositionIds, Role, TokenFormat
from tvlens.tasks import OffsetSplit, TokenOffset
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.icl_objective import AllLengths, ICLObjective, LastLength, Query
from tvlens.training.optimization import Muon
from tvlens.training.presets import PRESETS

OWN_FORMAT = TokenFormat(
    "own", (Role.Z, Role.X, Role.ARROW, Role.Y), (Role.Z, Role.X, Role.ARROW), Role.Z, Role.ARROW
)
UNUSUAL = Experiment(
    TokenOffset(vocabulary=7, split=OffsetSplit.HELD_OUT, noise=0.25),
    OWN_FORMAT,
    TransformerConfig(n_layers=1, positions=Positions.NONE),
    ICLObjective(0.1, 1, LastLength(), Query.FRESH, PositionIds.KEEP, stop_gradient=True),
    TrainConfig(optimizer=Muon(), bf16=True),
    seed=7,
)


def through_a_file(experiment: Experiment, **kwargs: Any) -> Experiment:
    return Experiment.from_json(json.loads(json.dumps(experiment.to_json())), **kwargs)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The JSON of an experiment, with the value at a dotted path replaced."""
    data = copy.deepcopy(Experiment(objective=ICLObjective(lengths=AllLengths())).to_json())
    *parents, key = path.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    place[key] = value
    return data


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_a_file(name: str):
    assert through_a_file(PRESETS[name]) == PRESETS[name]


def test_nothing_is_lost_of_an_experiment_without_a_default():
    found = through_a_file(UNUSUAL)
    assert found == UNUSUAL
    assert found.format.roles[2] is Role.ARROW
    assert found.objective == UNUSUAL.objective


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sead", "unknown key 'sead'.*Did you mean 'seed'"),
        ("model.n_layer", "model has the unknown key 'n_layer'.*Did you mean 'n_layers'"),
        ("train.optimizer.learning_rat", "optimizer has the unknown key.*'learning_rate'"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(path: str, message: str):
    with pytest.raises(InputError, match=message):
        Experiment.from_json(changed(path, 1))


def test_a_missing_key_is_named():
    data = Experiment().to_json()
    del data["model"]["d_model"], data["model"]["n_heads"]
    with pytest.raises(InputError, match="model lacks d_model, n_heads"):
        Experiment.from_json(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seed", "0", "seed should be int, got '0'"),
        ("seed", 1.0, "seed should be int, got 1.0"),
        ("seed", True, "seed should be int, got True"),
        ("seed", None, "seed should be int, got None"),
        ("seed", [0], r"seed should be int, got \[0\]"),
        ("train.bf16", 1, "bf16 should be bool, got 1"),
        ("task.noise", "0.1", "noise should be float, got '0.1'"),
        ("task.noise", True, "noise should be float, got True"),
        ("format.name", 3, "name should be str, got 3"),
        ("format.shot", "zxy", "shot should be a list, got 'zxy'"),
        ("model", 3, "model should be ModelConfig, got 3"),
        ("model", [], r"model should be ModelConfig, got \[\]"),
        (
            "model",
            ICLObjective(lengths=AllLengths()),
            "model should be ModelConfig, got a ICLObjective",
        ),
        ("objective.lengths", Muon(), "lengths should be Lengths, got a Muon"),
        (
            "train.optimizer",
            TransformerConfig(),
            "optimizer should be OptimizerConfig, got a TransformerConfig",
        ),
        ("task", 3, "task should be .*Task.*, got 3"),
        ("task", Muon(), "task should be .*Task.*, got a Muon"),
        ("seed", TransformerConfig(), "seed should be int, got"),
        ("model.positions", TransformerConfig(), "positions should be Positions, got"),
        ("format.shot", TransformerConfig(), "shot should be .*, got"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(path: str, value: Any, message: str):
    with pytest.raises(InputError, match=message):
        Experiment.from_json(changed(path, to_json(value)))


@pytest.mark.parametrize("value", ["rotatory", 1, None, ["rotary"]])
def test_an_unknown_choice_names_those_there_are(value: Any):
    with pytest.raises(InputError, match=r"positions has the unknown value.*learned, rotary, none"):
        Experiment.from_json(changed("model.positions", value))


def test_a_misspelt_choice_names_the_nearest():
    with pytest.raises(InputError, match=r"'rotery'.*Did you mean 'rotary'"):
        Experiment.from_json(changed("model.positions", "rotery"))


def test_a_value_that_an_experiment_refuses_is_refused_from_a_file():
    with pytest.raises(InputError, match="n_layers is 0"):
        Experiment.from_json(changed("model.n_layers", 0))


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown kind 'Sinus'.*Did you mean 'Sinusoid'"):
        Experiment.from_json(changed("task.kind", "Sinus"))


@pytest.mark.parametrize("kind", [None, 3, [], {}, ["Sinusoid"]])
def test_a_kind_that_is_no_name_is_refused(kind: Any):
    with pytest.raises(InputError, match="unknown kind"):
        Experiment.from_json(changed("task.kind", kind))


@pytest.mark.parametrize("data", [None, 3, [], "Experiment", {}, {"seed": 0}])
def test_what_is_no_experiment_is_refused(data: Any):
    with pytest.raises(InputError, match=r"the experiment should be an object with a 'kind'"):
        Experiment.from_json(data)


def test_another_kind_of_object_is_no_experiment():
    with pytest.raises(
        InputError, match=r"a\.json is of the kind TransformerConfig, expected Experiment"
    ):
        Experiment.from_json(to_json(TransformerConfig()), "a.json")


def test_a_task_of_ones_own_loads_only_where_it_is_named():
    experiment = Experiment(task=Quadratic(spread=0.5))
    assert through_a_file(experiment, own_kinds=[Quadratic]) == experiment
    with pytest.raises(InputError, match=r"unknown kind 'Quadratic'.*must be named"):
        through_a_file(experiment)


def test_a_whole_number_is_a_float_where_a_float_is_due():
    found = from_json({"kind": "Quadratic", "spread": 2}, own_kinds=[Quadratic])
    assert type(found.spread) is float
    assert found == Quadratic(spread=2.0)


@pytest.mark.parametrize("kind", ["trap", "trap.Task", "tests.trap", "os.system", "Path", "type"])
def test_a_file_can_not_make_anything_be_imported_or_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    modules = set(sys.modules)
    for path in ("kind", "task.kind", "train.optimizer.kind"):
        with pytest.raises(InputError, match="unknown kind"):
            Experiment.from_json(changed(path, kind))
    assert set(sys.modules) == modules


@dataclass(frozen=True)
class OwnLengths:
    """Context lengths of one's own."""

    k: int = 1

    def draw_lengths(self, batch: int, longest: int, *, generator: Generator) -> Tensor:
        return torch.full((batch, self.k), longest)


def test_the_kinds_of_an_experiment_are_all_that_its_file_needs():
    objective = ICLObjective(1.0, lengths=OwnLengths())
    experiment = Experiment(objective=objective)
    assert {OwnLengths, ICLObjective, Experiment, TrainConfig} <= kinds_of(experiment)
    read = from_json(to_json(experiment), own_kinds=kinds_of(experiment))
    assert read == experiment
