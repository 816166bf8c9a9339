"""What our Muon saves of a training step: `python analyses/benchmarks/muon.py --rounds 20`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import torch
import tyro
from timing import Where, in_turn, parse, plain_errors, ratio_figure, save, seconds_of, to_rows

from tvlens import PRESETS, InputError
from tvlens.base.errors import did_you_mean
from tvlens.training import TrainState
from tvlens.training.loop import training_step
from tvlens.training.optimization import Muon

DESCRIPTION = """Time training steps of presets with Muon: ours, and that of PyTorch in its place.

Beside whole steps, those of Muon alone, without Adam for the other weights."""
REFERENCE = "torch.optim.Muon"


@dataclass(frozen=True)
class Config:
    """Which steps are timed, and where."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    presets: tuple[str, ...] = ("linear-tvp-small", "offset-tvp-small")
    """What is trained, with Muon."""
    rounds: int = 20
    """How often each contestant takes its turn."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"Give --rounds at least 1, not {self.rounds}.")
        with_muon = [n for n, each in PRESETS.items() if isinstance(each.train.optimizer, Muon)]
        for name in self.presets:
            if name not in with_muon:
                raise InputError(
                    f"There is no preset {name!r} with Muon.{did_you_mean(name, with_muon)}"
                )


def main(config: Config) -> None:
    """Time all presets, print tables, write files."""
    device = config.where.start()
    tables: dict[str, pd.DataFrame] = {}
    for preset in config.presets:
        states = {"tvlens": TrainState.start(PRESETS[preset], device)}
        states[REFERENCE] = with_muon_of_pytorch(TrainState.start(PRESETS[preset], device))
        for part, step in (("training step", whole_step), ("Muon alone", muon_step)):
            setting = f"{preset}, {part}"
            works = {name: step(preset, state) for name, state in states.items()}
            runs = {n: lambda work=work: seconds_of(work, device) for n, work in works.items()}
            timing = in_turn(runs, reference=REFERENCE, rounds=config.rounds, label=setting)
            tables[setting] = timing.table()
            print(f"\n{setting}\n{tables[setting].round(4).to_string()}")
    results = {setting: to_rows(table) for setting, table in tables.items()}
    content = {"rounds": config.rounds, "results": results}
    save(config.where, "muon", content, [ratio_figure(tables, REFERENCE)])


def with_muon_of_pytorch(state: TrainState) -> TrainState:
    """The same state, its first optimiser exchanged."""
    (group,) = state.optimizers[0].param_groups
    options = {"lr": group["lr"], "momentum": group["momentum"], "weight_decay": 0.0}
    state.optimizers[0] = torch.optim.Muon(group["params"], **options)
    return state


def whole_step(preset: str, state: TrainState) -> Callable[[], object]:
    """A training step, the next one with each call."""
    return lambda: training_step(PRESETS[preset], state)


def muon_step(preset: str, state: TrainState) -> Callable[[], object]:
    """A step of Muon along one and the same gradient."""
    for parameter in state.model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return state.optimizers[0].step


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), DESCRIPTION))
