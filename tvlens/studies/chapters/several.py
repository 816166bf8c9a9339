"""Tables 2, 6 and 7: whether several vectors serve better than one."""

from collections.abc import Sequence

import xarray as xr

from tvlens.analysis.several_vectors import measure_several_vectors
from tvlens.plots import plot_several_vectors
from tvlens.results import SeveralVectors
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, bounds, models, side_by_side, subject
from tvlens.studies.claims import Claim, Found, claim_id, lies
from tvlens.studies.story import Story
from tvlens.subjects import Subject
from tvlens.tasks import fresh_queries, sample_contexts

LINEAR = "triplet-2x5-keep80"
SOFTMAX = ("linear-tvp", "bijections-vanilla")
Row = tuple[str, int, Found]
"""A gain, the number of examples, and estimate and interval."""
CONTEXTS = 5
"""Of each function, and one more than the most examples beside vectors."""
SEVERAL = "several contexts - one vector"
GAINS = {
    "one vector - in context": ("TaskV", "TaskV: one vector helps"),
    SEVERAL: ("TaskV-M", "TaskV-M: one of each of N + 1 contexts is better than one"),
    "one context - one vector": (
        "TaskV-MS",
        "TaskV-MS: N + 1 of one context are better than one",
    ),
    "several contexts - repeated": ("control", "control: better than one written N + 1 times"),
}
"""What is said of gains, after a name for it: that they are above 0."""


def told(story: Story) -> Chapter:
    """Errors of prompts of 0 to 4 examples, with vectors of contexts of the same function."""
    seeds = of_linear(story)
    softmax = {name: of_softmax(subject(name, story, story.episodes // 8)) for name in SOFTMAX}
    drawn = {f"{LINEAR}, seed 1": seeds[0], **softmax}
    claims = _claims(LINEAR, [of_seeds(seeds, *which) for which in _asked((1, 2, 4))])
    for name, result in softmax.items():
        rows = [(*which, bounds(gain_of(result, *which))) for which in _asked((1, 4))]
        claims += _claims(name, rows)
    return Chapter(
        "Do several vectors serve better than one?",
        {"several": plot_several_vectors(drawn)},
        side_by_side({name: each.scores() for name, each in drawn.items()}),
        claims,
        "Errors of prompts of N examples, and how much smaller they are than with one vector. "
        "Vectors are of other contexts of the same function; layers are chosen on other "
        "functions. Intervals are 95% over functions; of the linear transformer, the range of "
        "seeds.",
    )


def of_softmax(asked: Subject) -> SeveralVectors:
    """The result of a softmax model."""
    contexts, fresh = asked.contexts(asked.test.episodes, CONTEXTS)
    queries = fresh[slice(None, None, CONTEXTS)]
    return measure_several_vectors(asked.model, asked.task, asked.format, queries, contexts)


def of_linear(story: Story) -> list[SeveralVectors]:
    """The result of each seed of the linear transformer, on the same contexts."""
    some, count = models(LINEAR, story.on), CONTEXTS
    n = some[0].examples
    contexts = sample_contexts(TASK, story.episodes // 4, count, n + 1, generator=story.generator())
    fresh = fresh_queries(TASK, contexts, generator=story.generator(1))
    asked = fresh[slice(None, None, count)]
    return [measure_several_vectors(each, TASK, each.format, asked, contexts) for each in some]


def _asked(numbers: Sequence[int]) -> list[tuple[str, int]]:
    """Gains and numbers of examples: all numbers of the gain in question, the largest of others."""
    return [(gain, n) for gain in GAINS for n in numbers if gain == SEVERAL or n == numbers[-1]]


def gain_of(result: SeveralVectors, gain: str, examples: int) -> xr.Dataset:
    """A gain beside so many examples: of one dummy, at the layer chosen on other functions."""
    cell = {"selection": "corrected", "dummies": "one", "gain": gain, "examples": examples}
    return result.gains().sel(cell)


def of_seeds(seeds: Sequence[SeveralVectors], gain: str, examples: int) -> Row:
    """Mean and range of the seeds."""
    found = [float(gain_of(each, gain, examples).estimate) for each in seeds]
    return gain, examples, (sum(found) / len(found), min(found), max(found))


def _claims(model: str, rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for gain, n, found in rows:
        name, said = GAINS[gain]
        id, claim = claim_id("Tab2", name, f"N{n}", model), f"{said}, N = {n} ({model})"
        claims.append(Claim(id, claim, "Tab. 2, > 0", *found, lies(found, above=0.0)))
    return claims
