"""`tvlens check`: how good are the models that ship?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tvlens.analysis import icl_curve
from tvlens.base.errors import InputError
from tvlens.base.progress import progress
from tvlens.commands.asked_models import shipped
from tvlens.commands.endings import quietly
from tvlens.commands.parsing import Quiet, parse
from tvlens.prompts import TokenFormat
from tvlens.results import interval, resampled_means
from tvlens.training.run import Run
from tvlens.training.runs import load_pretrained

DESCRIPTION = """Measure the softmax models that ship against what they were trained for.

All numbers are for the longest context (12 examples) on fresh episodes, with 95% intervals by
bootstrap over episodes. Recovery is that of the vector at the prescribed layer."""


@dataclass(frozen=True)
class Check:
    """On what to measure."""

    episodes: int = 4096
    """Fresh episodes per model."""
    seed: int = 31_415
    """Their seed, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    quiet: Quiet = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if self.episodes < 10:
            raise InputError(f"--episodes {self.episodes} is too few for intervals; give 10.")


Means = dict[str, np.ndarray]
"""Resampled mean errors by name, the first entry from all episodes as they are."""


def check(arguments: Sequence[str]) -> None:
    """Do what is typed after `tvlens check`."""
    config = parse("tvlens check", arguments, Check(), DESCRIPTION)
    with quietly(config.quiet):
        print(checked(config).to_string(index=False))


def checked(config: Check) -> pd.DataFrame:
    """A row for each quantity of each model."""
    names = shipped(TokenFormat)
    runs = {name: load_pretrained(name, device=config.device) for name in names}
    means = {name: measure(run, config) for name, run in progress(runs.items(), "measuring")}
    rows = []
    for name in names:
        for quantity, values, target, holds in quantities(name, means):
            low, high = interval(values[1:])
            reached = "" if holds is None else "reached" if holds(values[0]) else "MISSED"
            rows.append(
                {
                    "model": name,
                    "quantity": quantity,
                    "value": f"{values[0]:.4f}",
                    "95% interval": f"{low:.4f} to {high:.4f}",
                    "target": target,
                    "": reached,
                }
            )
    return pd.DataFrame(rows)


def measure(run: Run, config: Check) -> Means:
    """Mean errors of one model at the longest context."""
    subject = run.subject(
        episodes=config.episodes, layer=run.experiment.model.n_layers - 1, seed=config.seed
    )
    curve = icl_curve(subject)
    errors = curve.data.isel(examples=-1)
    longest = {str(each): errors[each].values for each in errors}
    longest["icl over all lengths"] = curve.data.icl.mean("examples").values
    return {
        each: np.concatenate([values.mean(keepdims=True), resampled_means(values)])
        for each, values in longest.items()
    }


Quantity = tuple[str, np.ndarray, str, Callable[[float], bool] | None]


def quantities(name: str, means: dict[str, Means]) -> list[Quantity]:
    """What to tell of a model: quantity, values, target, and whether a value reaches it."""
    own = means[name]
    rows: list[Quantity] = []
    if name.startswith(("offset", "bijections", "relations")):
        rows.append(("ICL accuracy", 1 - own["icl"], ">= 0.99", lambda v: v >= 0.99))
        if name.endswith("tvp"):
            rows.append(("TVP accuracy", 1 - own["tvp"], ">= 0.99", lambda v: v >= 0.99))
        else:
            rows.append(("TVP accuracy", 1 - own["tvp"], "", None))
    else:
        limit = 0.02 if name.startswith("sinusoid") else 0.03
        rows.append(("ICL error", own["icl"], f"<= {limit}", lambda v: v <= limit))
        rows.append(("TVP error", own["tvp"], "", None))
    recovery = (own["zero_shot"] - own["tvp"]) / (own["zero_shot"] - own["icl"])
    if not name.endswith("tvp"):
        return [*rows, ("recovery", recovery, "", None)]
    least = 0.9 if name.startswith("sinusoid") else 0.95
    rows.append(("recovery", recovery, f">= {least}", lambda v: v >= least))
    if name.startswith("linear"):
        vanilla = means[name.replace("tvp", "vanilla")]
        for quantity in ("icl", "icl over all lengths"):
            ratio = own[quantity] / vanilla[quantity]
            rows.append((f"{quantity} / vanilla's", ratio, "<= 1.15", lambda v: v <= 1.15))
    return rows
