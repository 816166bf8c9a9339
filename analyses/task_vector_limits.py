"""What one task vector can not do, and several can: `python analyses/task_vector_limits.py`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from claims import Claim, Story, tell
from command_line import parse, plain_errors, quietly
from linear_theory import models

import tvlens as tvl
from tvlens.analysis.rank_sweep import item_tests
from tvlens.devices import choose_device
from tvlens.tasks import SymbolMaps

DESCRIPTION = """The limits of one task vector (arXiv 2506.09048) on models that ship: how many
examples it is worth, that it holds a map of rank one and no more, and maps between symbols in a
softmax transformer. A page with figures, and a table of what is said beside what is found.

Example: python analyses/task_vector_limits.py --out figures/limits"""

TEXT = """A vector of a linear transformer acts as one example that is a mixture of the examples
shown. Then it can hold a map of rank one and no more. Intervals are 95%, over seeds and episodes
for linear transformers, over functions for the softmax model, which is one training."""
LINEAR = "triplet-2x5-keep80"
SOFTMAX = "bijections-vanilla"
ONE = {"metric": "direction", "missing": "cut", "injection": "corrected", "source": "own"}


@dataclass(frozen=True)
class Limits(Story):
    """Where the page goes, and how much is asked for it."""

    episodes: int = 2048
    """Episodes of each measurement."""


def main(story: Limits) -> None:
    """Measure, compare, and write the page."""
    device = choose_device(story.device)
    generator = torch.Generator(device).manual_seed(story.seed)
    value = value_of(LINEAR, story, generator)
    plain = value_of("triplet-2x5", story, generator)
    tests = item_tests(4, 5, story.episodes // 2, generator=generator)
    ranks = tvl.analysis.rank_sweep(models(LINEAR, device), tests)
    symbols = symbol_answers(story, device)
    sections = [
        tvl.plots.Section(
            "How many examples is a vector worth?",
            [tvl.plots.plot_demonstration_value({LINEAR: value, "triplet-2x5": plain})],
            value.scores().rename_axis("score").reset_index().round(4),
            folded=True,
        ),
        tvl.plots.Section(
            "Up to which rank does a vector of a linear transformer hold a map?",
            [tvl.plots.plot_rank_sweep(ranks)],
            ranks.scores().rename_axis("map and way").reset_index().round(3),
            folded=True,
        ),
        tvl.plots.Section(
            "And of a softmax transformer, for maps between symbols?",
            tvl.plots.question_of(tvl.BijectionAnswers).figures({SOFTMAX: symbols}),
            symbols.scores().rename_axis("score").reset_index().round(3),
            folded=True,
        ),
    ]
    claims = [*of_worth(value, plain), *of_ranks(ranks), *of_symbols(symbols.accuracy())]
    title = "What can one task vector not do?"
    tell(story, "task_vector_limits", title, TEXT, claims, sections)


def value_of(name: str, story: Limits, generator: torch.Generator) -> tvl.DemonstrationValue:
    """What vectors of a linear transformer are worth."""
    task = tvl.MatrixRegression()
    episodes = tvl.sample_episodes(task, story.episodes, 6, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    some = models(name, generator.device)
    return tvl.analysis.demonstration_value(some, task, episodes, queries, generator=generator)


def symbol_answers(story: Limits, device: torch.device) -> tvl.BijectionAnswers:
    """What the softmax model answers about maps between symbols."""
    run = tvl.load_pretrained(SOFTMAX, device=str(device))
    generator = torch.Generator(device).manual_seed(story.seed)
    task = run.experiment.task
    if not isinstance(task, SymbolMaps):
        raise tvl.InputError(f"{SOFTMAX} was trained on {type(task).__name__}, not on SymbolMaps.")
    episodes = tvl.sample_episodes(task, 2 * story.episodes, 9, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    asked = (run.model, task, run.experiment.format, episodes, queries)
    return tvl.analysis.bijections(*asked, generator=generator)


def bounds(values: xr.Dataset) -> tuple[float, float, float]:
    """Estimate and interval of one cell."""
    estimate, low, high = (float(values[each]) for each in ("estimate", "low", "high"))
    return estimate, low, high


def of_worth(value: tvl.DemonstrationValue, plain: tvl.DemonstrationValue) -> list[Claim]:
    """A vector is about one example (Fig. 4c), and more of them are more."""
    worth = value.worth().sel(ONE)
    one, every = bounds(worth.sel(number=1)), bounds(worth.isel(number=-1))
    seeds = plain.worth_by_seed().sel(ONE).sel(number=1)
    found = (float(seeds.mean()), float(seeds.min()), float(seeds.max()))
    return [
        Claim("one vector is worth one example", "1", *one, one[1] <= 1 <= one[2]),
        Claim("all vectors together are worth more", "> 1", *every, every[1] > one[2]),
        Claim("vectors form without dropout (mean, range of seeds)", "1", *found, found[1] > 0.8),
    ]


def of_ranks(ranks: tvl.RankSweep) -> list[Claim]:
    """The accuracy of one vector is one over the rank, whatever the direction (Table 1)."""
    accuracy = ranks.accuracy().sel(way="corrected")
    claims = []
    for kind in accuracy["kind"].values:
        rank = int(ranks.data["rank"].sel(kind=kind))
        found = bounds(accuracy.sel(kind=kind))
        # An accuracy of 1 has an interval without width.
        near = found[1] - 0.01 <= 1 / rank <= found[2] + 0.01
        claims.append(Claim(f"linear, {kind}: 1 / rank", f"{1 / rank:.3g}", *found, near))
    return claims


def of_symbols(accuracy: xr.Dataset) -> list[Claim]:
    """In a softmax transformer it is one over the number of items."""
    claims = []
    for kind in accuracy["kind"].values:
        cell = accuracy.sel(kind=kind)
        expected = float(cell.sel(score="one_item").estimate)
        found = bounds(cell.sel(score="corrected"))
        agrees = found[1] - 0.01 <= expected <= found[2] + 0.01
        claims.append(Claim(f"softmax, {kind}: 1 / items", f"{expected:.3g}", *found, agrees))
    return claims


if __name__ == "__main__":
    with plain_errors():
        story = parse(Limits, Limits(), DESCRIPTION)
        with quietly(story.quiet):
            main(story)
