"""Figure 4c: how many examples a vector is worth."""

from __future__ import annotations

from claims import Chapter, Claim, Story, holds, lies

import tvlens as tvl
from chapters.shipped import TASK, bounds, models, sample, shown

DROPPING, PLAIN = "triplet-2x5-keep80", "triplet-2x5"
ONE = {"metric": "direction", "missing": "cut", "injection": "corrected", "source": "own"}


def told(story: Story) -> Chapter:
    """What vectors of models with and without dropout are worth."""
    found = {name: _value(name, story) for name in (DROPPING, PLAIN)}
    return Chapter(
        "How many examples is a vector worth?",
        {"worth": tvl.plots.plot_demonstration_value(found)},
        shown(found[DROPPING].scores().rename_axis("score").reset_index()),
        _claims(found[DROPPING], found[PLAIN]),
        "Errors of contexts and of vectors in a prompt without examples, read and written at layer "
        "1, and the number of examples of the same error. Thin lines are seeds.",
    )


def _value(name: str, story: Story) -> tvl.DemonstrationValue:
    episodes, generator = sample(story, 6), story.generator(1)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    some = models(name, story.on)
    return tvl.analysis.demonstration_value(some, TASK, episodes, queries, generator=generator)


def _claims(value: tvl.DemonstrationValue, plain: tvl.DemonstrationValue) -> list[Claim]:
    worth = value.worth().sel(ONE)
    one, every = bounds(worth.sel(number=1)), bounds(worth.isel(number=-1))
    seeds = plain.worth_by_seed().sel(ONE).sel(number=1)
    found = (float(seeds.mean()), float(seeds.min()), float(seeds.max()))
    return [
        Claim("one vector is worth one example", "Fig. 4c, 1", *one, holds(one, 1)),
        Claim(
            "all vectors together are worth more", "Fig. 4c, > 1", *every, lies(every, above=one[2])
        ),
        Claim(
            "vectors form without dropout (range of seeds)",
            "Fig. 4c, 1",
            *found,
            lies(found, above=0.8),
        ),
    ]
