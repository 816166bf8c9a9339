"""`tvlens presets`: what can be trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import tyro

from tvlens.base.errors import InputError
from tvlens.commands.parsing import parse
from tvlens.models import LinearConfig
from tvlens.training.experiment import Experiment
from tvlens.training.presets import PRESETS
from tvlens.training.runs import list_pretrained

DESCRIPTION = """List every experiment that `tvlens train --preset NAME` starts from.

`-small` presets take minutes on a CPU, `-paper` ones follow the recipe of arXiv 2501.09240 and want
a GPU. Those named after a format of demonstrations (single, pairwise, triplet, inseparable) are
linear transformers. What ships can be asked without training, by the same name without `-small`.

Example: tvlens presets triplet"""


@dataclass(frozen=True)
class Listing:
    """Which presets are listed."""

    like: Annotated[str, tyro.conf.Positional] = ""
    """Only those whose name holds this; all if not given."""


def presets(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens presets`."""
    config = parse("tvlens presets", arguments, Listing(), DESCRIPTION)
    shown = {name: each for name, each in PRESETS.items() if config.like in name}
    if not shown:
        raise InputError(f"No name of a preset holds {config.like!r}.")
    shipped = list_pretrained()
    table = pd.DataFrame([_row(name, each, shipped) for name, each in shown.items()])
    print(table.to_string(index=False))


def _row(name: str, experiment: Experiment, shipped: Sequence[str]) -> dict[str, str | int]:
    train, format, model = experiment.train, experiment.format, experiment.model
    tokens = train.steps * train.batch * format.n_tokens(train.shots)
    return {
        "preset": name,
        "model": "linear" if isinstance(model, LinearConfig) else "softmax",
        "task": type(experiment.task).__name__,
        "format": format.name,
        "layers": model.n_layers,
        "examples": train.examples,
        "steps": train.steps,
        "million tokens": f"{tokens / 1e6:.0f}",
        "ships": "yes" if name.removesuffix("-small") in shipped else "",
    }
