"""Theorems 1 and 2: what lies around trained models, along the structured sets and off them."""

import pandas as pd
from torch import Generator

from tvlens.analysis.risk_landscape import measure_risk_landscape
from tvlens.plots import plot_risk_landscape
from tvlens.results import RiskLandscape
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, bounds, models, sample, score, side_by_side
from tvlens.studies.claims import Claim, claim_id, holds, lies, near
from tvlens.studies.story import Story

PAIRS, TRIPLETS = "pairwise-2x5-sparse", "triplet-2x5-sparse"
BLIND, DROPPING = "triplet-2x5-blind", "triplet-2x5-keep80"
WITHOUT_VECTORS = PAIRS, TRIPLETS
"""Models whose L4 is 0: there the gradient is along S_P, where rows of L4 differ it need not be."""
VECTORS = "task vectors"
STEP = 1 / 8
"""Between the weights at which errors are taken."""


def told(story: Story) -> Chapter:
    """Errors along the set and off it."""
    episodes = sample(story, 6, 1 / 2)
    found = {
        name: measure_risk_landscape(
            models(name, story.on),
            TASK,
            episodes,
            generator=Generator().manual_seed(story.seed),
            draws=4,
        )
        for name in (BLIND, DROPPING, PAIRS, TRIPLETS)
    }
    scores = {name: each.scores() for name, each in found.items()}
    return Chapter(
        "Are trained models at a minimum, and what does it cost to leave it?",
        {
            f"landscape-{name}": plot_risk_landscape(each).update_layout(
                title=f"Errors around {name}"
            )
            for name, each in found.items()
        },
        side_by_side(scores),
        [
            *(_of_the_least(name, each) for name, each in scores.items()),
            *(_of_the_gradient(name, found[name]) for name in WITHOUT_VECTORS),
            *_of_vectors(scores),
        ],
        "Errors as weights move along the parts of S_P, in random directions off it, and where "
        "symmetry says that nothing changes. At step 1 the change is as long as the structured D. "
        "Models trained with dropout are asked with the same tokens dropped too. Bands are 95% "
        "over seeds and episodes.",
    )


def _of_the_least(name: str, scores: pd.DataFrame) -> Claim:
    """The error that was trained is least at the model, along all parts that cost something."""
    start, dropped = "lowest along ", " (dropped)"
    names = [each for each in map(str, scores.index) if each.startswith(start)]
    with_dropout = [each for each in names if each.endswith(dropped)]
    rows = scores.loc[with_dropout or [each for each in names if VECTORS not in each]]
    furthest = float(rows.estimate[rows.estimate.abs().idxmax()])
    found = furthest, float(rows.low.min()), float(rows.high.max())
    claim = f"the error is least at the model: the lowest step along parts that cost ({name})"
    # Errors are taken at multiples of the step.
    agrees = lies(found, above=-1.5 * STEP, below=1.5 * STEP)
    return Claim(claim_id("T1-2", "least", name), claim, "Thm 1 and 2, within 1/8", *found, agrees)


def _of_the_gradient(name: str, result: RiskLandscape) -> Claim:
    """At a point of the set the gradient is along it; a little off the set, it is not."""
    outside = result.gradients().sel(component="outside", tokens="all")
    found = bounds(outside.sel(point="nearest"))
    away = float(outside.sel(point="away").estimate)
    return Claim(
        claim_id("T1-2", "gradient", name),
        f"on S_P the gradient is along it: what is not ({name})",
        f"Thm 1 and 2, 0 (off S_P: {away:.2g})",
        *found,
        holds(found, 0.0, within=away / 10),
        near(0.0, away / 10),
    )


def _of_vectors(scores: dict[str, pd.DataFrame]) -> list[Claim]:
    """K has the least risk; task vectors change nothing without dropout, and something with it."""
    step = "a quarter step along task vectors costs"
    rows = (
        (f"K has the least risk: error above it ({BLIND})", BLIND, "closed form above the least"),
        (f"without dropout {step} ({BLIND})", BLIND, f"cost of {VECTORS}"),
        (f"with dropout {step} ({DROPPING})", DROPPING, f"cost of {VECTORS} (dropped)"),
    )
    least, without, dropped = ((claim, score(scores[model], name)) for claim, model, name in rows)
    return [
        Claim("P3.least-risk", least[0], "Prop 3, < 0.001", *least[1], lies(least[1], below=0.001)),
        Claim(
            "P3.vectors-change-nothing",
            without[0],
            "Prop 3, < 0.01",
            *without[1],
            lies(without[1], below=0.01),
        ),
        Claim(
            "P5.vectors-help", dropped[0], "Prop 5, > 0", *dropped[1], lies(dropped[1], above=0.0)
        ),
    ]
