"""Table 1 for a softmax transformer: maps between symbols."""

from __future__ import annotations

import bijections
from claims import Chapter, Claim, Story, holds

import tvlens as tvl
from chapters.shipped import bounds, shown, subject

SOFTMAX = "bijections-vanilla"


def told(story: Story) -> Chapter:
    """Accuracy on maps between symbols, by the number of their items."""
    asked = subject(SOFTMAX, story, story.episodes * 2, examples=8)
    answers = bijections.analyse(asked)
    table = tvl.results.accuracy_table({SOFTMAX: answers})
    return Chapter(
        "And of a softmax transformer, for maps between symbols?",
        {
            "symbols": tvl.plots.plot_bijections({SOFTMAX: answers}),
            "symbols-outcomes": tvl.plots.plot_bijection_errors({SOFTMAX: answers}),
        },
        shown(table),
        _claims(answers),
        "Every context draws pairs of symbols of its own. The vector is read with one item as the "
        "query, and another is asked with it; dotted is what a vector that acts as one example "
        "serves.",
    )


def _claims(answers: tvl.BijectionAnswers) -> list[Claim]:
    accuracy, claims = answers.accuracy(), []
    for kind in accuracy["kind"].values:
        cell = accuracy.sel(kind=kind)
        expected = float(cell.sel(score="one_item").estimate)
        found = bounds(cell.sel(score="corrected"))
        agrees = holds(found, expected, slack=0.01)
        claims.append(
            Claim(f"softmax, {kind}: 1 / items", f"Tab. 1, {expected:.3g}", *found, agrees)
        )
    return claims
