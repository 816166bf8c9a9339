"""Table 1 and Proposition 4 for linear transformers: a vector holds a map of rank one."""

from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.plots import plot_rank_sweep, plot_rank_sweep_outcomes
from tvlens.results import RankSweep
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import bounds, models, shown
from tvlens.studies.claims import Claim, claim_id, holds, near
from tvlens.studies.story import Story

DROPPING = "triplet-2x5-keep80"
NEAR = 0.05
"""How near an accuracy is asked to be."""


def told(story: Story) -> Chapter:
    """Accuracy on maps among orthonormal items, by their rank."""
    tests = item_tests(4, 5, story.episodes // 2, generator=story.generator())
    ranks = measure_rank_sweep(models(DROPPING, story.on), tests)
    return Chapter(
        "Up to which rank does a vector of a linear transformer hold a map?",
        {
            "ranks": plot_rank_sweep(ranks),
            "ranks-outcomes": plot_rank_sweep_outcomes(ranks),
        },
        shown(ranks.scores().rename_axis("map and way").reset_index()),
        _claims(ranks),
        "Items are orthonormal x and y; maps go forward, back, both ways, or copy or negate x. An "
        "answer counts as the item that it points to.",
    )


def _claims(ranks: RankSweep) -> list[Claim]:
    accuracy = ranks.accuracy().sel(way="corrected")
    claims = []
    for kind in accuracy["kind"].values:
        rank = int(ranks.data["rank"].sel(kind=kind))
        found = bounds(accuracy.sel(kind=kind))
        agrees = holds(found, 1 / rank, within=NEAR)
        claims.append(
            Claim(
                claim_id("P4", "rank", kind),
                f"linear, {kind}: 1 / rank",
                f"Prop 4, {1 / rank:.3g}",
                *found,
                agrees,
                near(1 / rank, NEAR),
            )
        )
    return claims
