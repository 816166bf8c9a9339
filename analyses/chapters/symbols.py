"""Table 1 for softmax transformers: maps between symbols, and the fixed family that escapes."""

from __future__ import annotations

from collections.abc import Mapping

import bijections
import numpy as np
import xarray as xr
from claims import Chapter, Claim, Story, holds, lies

import tvlens as tvl
from chapters.shipped import bounds, shown, subject
from tvlens.results.bijections import OUTCOMES
from tvlens.results.ratios import ratio_of_means

SOFTMAX = "bijections-vanilla"
FAMILIES = "relations-vanilla", "relations-tvp"
"""Models of six relations that never change."""
CORRECT = OUTCOMES.index("correct")
ONE_WAY = "one way"
"""Forward and inverse: in maps that every context draws anew they are the same to a model."""


def told(story: Story) -> Chapter:
    """Accuracy on maps between symbols, by the number of their items."""
    asked = subject(SOFTMAX, story, story.episodes * 2, examples=8)
    drawn = bijections.analyse(asked)
    families = {
        name: bijections.analyse(subject(name, story, story.episodes // 2, examples=8))
        for name in FAMILIES
    }
    return Chapter(
        "And of a softmax transformer, for maps between symbols?",
        {
            "symbols": tvl.plots.plot_bijections({SOFTMAX: drawn}),
            "symbols-outcomes": tvl.plots.plot_bijection_errors({SOFTMAX: drawn}),
            "symbols-families": tvl.plots.plot_bijections(families),
        },
        shown(tvl.results.accuracy_table({SOFTMAX: pooled(drawn), **families})),
        [*_of_one_example(pooled(drawn)), *_of_families(families)],
        "Every context draws pairs of symbols of its own. The vector is read with one item as the "
        "query, the dummy. Dotted is 1 / items, which is how often the dummy happens to be the "
        "item asked: a vector that is one example answers that and no other. The relations models "
        "have a fixed family of functions instead, of which a vector need only name one.",
    )


def pooled(answers: tvl.BijectionAnswers) -> tvl.BijectionAnswers:
    """The same answers, with maps forward and inverse taken as one kind."""
    data = answers.data
    names = [
        str(each).replace("forward", ONE_WAY).replace("inverse", ONE_WAY)
        for each in data["kind"].values
    ]
    kinds = list(dict.fromkeys(names))
    number = np.array([kinds.index(each) for each in names])
    kept = data.isel(kind=[names.index(each) for each in kinds]).assign_coords(kind=kinds)
    return tvl.BijectionAnswers(
        kept.assign(kind_of=data["kind_of"].copy(data=number[data["kind_of"]]))
    )


def _of_one_example(answers: tvl.BijectionAnswers) -> list[Claim]:
    """One over the items, because the vector answers its dummy and nothing else."""
    accuracy, claims = answers.accuracy(), []
    for kind in map(str, accuracy["kind"].values):
        cell = accuracy.sel(kind=kind)
        one = float(cell.sel(score="one_item").estimate)
        asked = [("corrected", "1 / items", one)]
        if one < 1:
            asked.append(("equals", "where the dummy is the query", 1.0))
            asked.append(("differs", "where the dummy is another item", 0.0))
        for score, claim, said in asked:
            found = bounds(cell.sel(score=score))
            agrees = holds(found, said, slack=0.01)
            claims.append(Claim(f"softmax, {kind}: {claim}", f"Tab. 1, {said:.3g}", *found, agrees))
    return claims


def _of_families(families: Mapping[str, tvl.BijectionAnswers]) -> list[Claim]:
    """A vector that names one function of few serves all its items, both ways too."""
    claims = []
    for name, answers in families.items():
        for kind in map(str, answers.data["kind"].values):
            found = bounds(beside_the_context(answers, kind))
            claim = f"{name}, {kind}: one vector is as right as the context, ratio"
            agrees = lies(found, above=0.9)
            claims.append(Claim(claim, "Tab. 1, counter-example, > 0.9", *found, agrees))
    return claims


def beside_the_context(answers: tvl.BijectionAnswers, kind: str) -> xr.Dataset:
    """Accuracy of one vector over that in context: on episodes that did not choose the layer."""
    data, layer = answers.data, answers.best_layer().sel(kind=kind)
    second = np.arange(data.sizes["episode"]) >= data.sizes["episode"] // 2
    of_kind = data["kind_of"].values == list(data["kind"].values).index(kind)
    half = data.isel(episode=second & of_kind)
    vector = half["answer"].sel(reading="one dummy", layer=layer) == CORRECT
    context = half["plain"].sel(prompt="context") == CORRECT
    return ratio_of_means(vector, context, "episode")
