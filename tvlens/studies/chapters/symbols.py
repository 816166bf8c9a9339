"""Table 1 for softmax transformers: maps between symbols, and the fixed family that escapes."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from tvlens.analysis.bijections import bijections
from tvlens.plots import plot_bijection_errors, plot_bijections
from tvlens.results import BijectionAnswers, accuracy_table
from tvlens.results.bijections import OUTCOMES
from tvlens.results.ratios import ratio_of_means
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import bounds, shown, subject
from tvlens.studies.claims import Claim, Found, claim_id, holds, lies, near
from tvlens.studies.story import Story

SOFTMAX = "bijections-vanilla"
NEAR = 0.05
"""How near an accuracy is asked to be."""
FAMILIES = "relations-vanilla", "relations-tvp"
"""Models of six relations that never change."""
CORRECT = OUTCOMES.index("correct")
DUMMY = (("equals", "is the query", 1.0), ("differs", "is another item", 0.0))
"""How right a vector is that answers the item of its dummy and no other."""
LEAST = 1024
"""Episodes, so that there are some of every kind with either dummy."""
ONE_WAY = "one way"
"""Forward and inverse: in maps that every context draws anew they are the same to a model."""


def told(story: Story) -> Chapter:
    """Accuracy on maps between symbols, by the number of their items."""
    asked = subject(SOFTMAX, story, max(story.episodes * 2, LEAST), examples=8)
    drawn = bijections(asked)
    families = {
        name: bijections(subject(name, story, story.episodes // 2, examples=8)) for name in FAMILIES
    }
    return Chapter(
        "And of a softmax transformer, for maps between symbols?",
        {
            "symbols": plot_bijections({SOFTMAX: drawn}),
            "symbols-outcomes": plot_bijection_errors({SOFTMAX: drawn}),
            "symbols-families": plot_bijections(families),
        },
        shown(accuracy_table({SOFTMAX: pooled(drawn, one_way), **families})),
        [*_of_one_example(drawn), *_of_families(families)],
        "Every context draws pairs of symbols of its own. The vector is read with one item as the "
        "query, the dummy. Dotted is 1 / items, which is how often the dummy happens to be the "
        "item asked: a vector that is one example answers that and no other. The relations models "
        "have a fixed family of functions instead, of which a vector need only name one.",
    )


def one_way(kind: str) -> str:
    """A kind of map, not telling forward from inverse."""
    return kind.replace("forward", ONE_WAY).replace("inverse", ONE_WAY)


def of_any_size(kind: str) -> str:
    """Nor how many items there are."""
    return one_way(kind).rsplit(" ", 1)[0]


def pooled(answers: BijectionAnswers, name: Callable[[str], str]) -> BijectionAnswers:
    """The same answers, with kinds of one name taken as one."""
    data = answers.data
    names = [name(str(each)) for each in data["kind"].values]
    kinds = list(dict.fromkeys(names))
    number = np.array([kinds.index(each) for each in names])
    kept = data.isel(kind=[names.index(each) for each in kinds]).assign_coords(kind=kinds)
    kind_of = data["kind_of"].copy(data=number[data["kind_of"]])
    return BijectionAnswers(kept.assign(kind_of=kind_of))


def _of_one_example(answers: BijectionAnswers) -> list[Claim]:
    """One over the items, because the vector answers its dummy and nothing else."""
    sizes = pooled(answers, one_way).accuracy()
    claims = []
    for kind in map(str, sizes["kind"].values):
        one = float(sizes.sel(kind=kind, score="one_item").estimate)
        found = bounds(sizes.sel(kind=kind, score="corrected"))
        id = claim_id("Tab1", "items", kind)
        claims.append(_claim(id, f"{kind}: 1 / items", one, found))
    ways = pooled(answers, of_any_size).accuracy()
    for kind in map(str, ways["kind"].values):
        for score, claim, said in DUMMY:
            found = bounds(ways.sel(kind=kind, score=score))
            id = claim_id("Tab1", f"dummy-{score}", kind)
            claims.append(_claim(id, f"{kind}, where the dummy {claim}", said, found))
    return claims


def _claim(id: str, claim: str, said: float, found: Found) -> Claim:
    agrees = holds(found, said, within=NEAR)
    paper = f"Tab. 1, {said:.3g}"
    return Claim(id, f"softmax, {claim}", paper, *found, agrees, near(said, NEAR))


def _of_families(families: Mapping[str, BijectionAnswers]) -> list[Claim]:
    """A vector that names one function of few serves all its items, both ways too."""
    claims = []
    for name, answers in families.items():
        for kind in map(str, answers.data["kind"].values):
            found = bounds(beside_the_context(answers, kind))
            claim = f"{name}, {kind}: one vector is as right as the context, ratio"
            agrees = lies(found, above=0.9)
            id = claim_id("Tab1", "family", name, kind)
            claims.append(Claim(id, claim, "Tab. 1, counter-example, > 0.9", *found, agrees))
    return claims


def beside_the_context(answers: BijectionAnswers, kind: str) -> xr.Dataset:
    """Accuracy of one vector over that in context: on episodes that did not choose the layer."""
    data, layer = answers.data, answers.best_layer().sel(kind=kind)
    second = np.arange(data.sizes["episode"]) >= data.sizes["episode"] // 2
    of_kind = data["kind_of"].values == list(data["kind"].values).index(kind)
    half = data.isel(episode=second & of_kind)
    vector = half["answer"].sel(reading="one dummy", layer=layer) == CORRECT
    context = half["plain"].sel(prompt="context") == CORRECT
    return ratio_of_means(vector, context, "episode")
