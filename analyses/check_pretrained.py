"""How good are the models that ship? `python analyses/check_pretrained.py` measures and tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from command_line import parse, plain_errors
from study import shipped
from tqdm import tqdm

import tvlens as tvl

DESCRIPTION = """Measure the models that ship with tvlens against what they were trained for.

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


Means = dict[str, np.ndarray]
"""Resampled mean errors by name, the first entry from all episodes as they are."""


def main(config: Check) -> None:
    """Measure all pairs and print a table."""
    if config.episodes < 10:
        raise tvl.InputError(f"--episodes {config.episodes} is too few for intervals; give 10.")
    names = shipped(tvl.TokenFormat)
    means = {name: measure(name, config) for name in tqdm(names, desc="measuring", unit="model")}
    rows = [("model", "quantity", "value", "95% interval", "target", "")]
    for name in names:
        for quantity, values, target, holds in quantities(name, means):
            low, high = tvl.results.interval(values[1:])
            reached = "" if holds is None else "reached" if holds(values[0]) else "MISSED"
            rows.append(
                (name, quantity, f"{values[0]:.4f}", f"{low:.4f} to {high:.4f}", target, reached)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def measure(name: str, config: Check) -> Means:
    """Mean errors of one model at the longest context."""
    run = tvl.load_pretrained(name, device=config.device)
    experiment = run.experiment
    generator = torch.Generator(run.model.W_E.device).manual_seed(config.seed)
    shots = experiment.train.shots
    episodes = tvl.sample_episodes(experiment.task, config.episodes, shots, generator=generator)
    queries = tvl.fresh_queries(experiment.task, episodes, generator=generator)
    layer = experiment.model.n_layers - 1
    curve = tvl.analysis.icl_curve(
        run.model, experiment.task, experiment.format, episodes, queries, layer=layer
    )
    errors = curve.data.isel(examples=-1)
    longest = {str(each): errors[each].values for each in errors}
    longest["icl over all lengths"] = curve.data.icl.mean("examples").values
    return {
        each: np.concatenate([values.mean(keepdims=True), tvl.results.resampled_means(values)])
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


if __name__ == "__main__":
    with plain_errors():
        main(parse(Check, Check(), DESCRIPTION))
