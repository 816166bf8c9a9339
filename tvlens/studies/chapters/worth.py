"""Figure 4c: how many examples a vector is worth."""

import pandas as pd
import xarray as xr

from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.plots import plot_demonstration_value
from tvlens.results import DemonstrationValue
from tvlens.results.ratios import score_table
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, bounds, models, shown
from tvlens.studies.claims import Claim, claim_id, holds, lies, near
from tvlens.studies.story import Story
from tvlens.tasks import CollinearRegression, Task, fresh_queries, sample_episodes

DROPPING, PLAIN = "triplet-2x5-keep80", "triplet-2x5"
LINE = CollinearRegression(TASK.d)
"""What the paper measures on: all x are multiples of one vector."""
ON_LINE = {2: (0.2016, 0.2872), 3: (0.0400, 0.1172)}
"""The paper's errors of one example and of one vector, by layers."""
Lines = dict[int, dict[str, xr.Dataset]]
"""Errors on one line, by layers and by what is shown."""
NEAR = 0.05
"""How near to the paper's errors, which are of 1000 episodes, ours are asked to be."""
ONE = {"metric": "direction", "missing": "cut", "injection": "corrected", "source": "own"}


def told(story: Story) -> Chapter:
    """What vectors of models with and without dropout are worth."""
    found = {name: _value(name, TASK, story) for name in (DROPPING, PLAIN)}
    lines = {layers: on_line(layers, story) for layers in ON_LINE}
    scores = pd.concat([found[DROPPING].scores(), _line_table(lines)])
    return Chapter(
        "How many examples is a vector worth?",
        {"worth": plot_demonstration_value(found)},
        shown(scores.rename_axis("score").reset_index()),
        [*_claims(found[DROPPING], found[PLAIN]), *_of_the_line(lines)],
        "Errors of contexts and of vectors in a prompt without examples, read and written at layer "
        "1, and the number of examples of the same error. Thin lines are seeds. On one line is "
        "what the paper measures: one example in models trained with one, a vector in models "
        f"trained with dropout ({DROPPING}), given as the paper gives it.",
    )


def _value(name: str, task: Task, story: Story) -> DemonstrationValue:
    some, generator = models(name, story.on), story.generator(1)
    shots = some[0].examples + 1
    episodes = sample_episodes(task, story.episodes, shots, generator=story.generator())
    queries = fresh_queries(task, episodes, generator=generator)
    return measure_demonstration_value(some, task, episodes, queries, generator=generator)


def on_line(layers: int, story: Story) -> dict[str, xr.Dataset]:
    """Errors of one example and of one vector, over metrics and selections of seeds."""
    one = _value(f"triplet-{layers}x1", LINE, story).context_errors()
    vector = _value(f"triplet-{layers}x5-keep80", LINE, story).vector_errors()
    return {
        "one example": one.sel(missing="cut", examples=1),
        "one vector": vector.sel(injection="paper", source="own", number=1),
    }


def _claims(value: DemonstrationValue, plain: DemonstrationValue) -> list[Claim]:
    worth = value.worth().sel(ONE)
    one, every = bounds(worth.sel(number=1)), bounds(worth.isel(number=-1))
    seeds = plain.worth_by_seed().sel(ONE).sel(number=1)
    found = (float(seeds.mean()), float(seeds.min()), float(seeds.max()))
    return [
        Claim(
            "F4c.one-vector",
            "one vector is worth one example",
            "Fig. 4c, 1",
            *one,
            holds(one, 1.0, within=0.1),
            near(1.0, 0.1),
        ),
        Claim(
            "F4c.all-vectors",
            "all vectors together are worth more",
            "Fig. 4c, > 1",
            *every,
            lies(every, above=one[2]),
        ),
        Claim(
            "F4c.without-dropout",
            "vectors form without dropout (range of seeds)",
            "Fig. 4c, 1",
            *found,
            lies(found, above=0.8),
        ),
    ]


def _line_table(lines: Lines) -> pd.DataFrame:
    """All errors, by name."""
    rows = {
        f"on one line, {layers} layers, {of}: {metric}, {selection}": errors.sel(
            metric=metric, selection=selection
        )
        for layers, found in lines.items()
        for of, errors in found.items()
        for metric in errors["metric"].values
        for selection in errors["selection"].values
    }
    return score_table(rows)


def _of_the_line(lines: Lines) -> list[Claim]:
    """The paper's numbers are of the direction, and of the best seed."""
    claims = []
    for layers, found in lines.items():
        for (of, errors), said in zip(found.items(), ON_LINE[layers], strict=True):
            for selection in map(str, errors["selection"].values):
                cell = bounds(errors.sel(metric="direction", selection=selection))
                claim = f"on one line, {layers} layers: error of {of}, {selection}"
                agrees = holds(cell, said, within=NEAR)
                id = claim_id("F4c", "on-one-line", f"{layers} layers", of, selection)
                paper = f"Fig. 4c, {said:.4f}"
                claims.append(Claim(id, claim, paper, *cell, agrees, near(said, NEAR)))
    return claims
