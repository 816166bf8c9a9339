"""Figures 4a and 4b, and the risk in closed form: what format and depth cost."""

from __future__ import annotations

import re

from claims import Chapter, Claim, Story, holds, lies

import tvlens as tvl
from chapters.shipped import TASK, models, sample, shown
from tvlens.theory import optimal_risk

FORMATS, EXAMPLES = ("single", "pairwise", "triplet"), (5, 10)
BLIND, LIFTED = "triplet-2x5-blind", "inseparable-2x5"


def told(story: Story) -> Chapter:
    """Risks of all formats and depths, of 5 and of 10 examples."""
    plain = re.compile(rf"({'|'.join(FORMATS)})-\dx({'|'.join(map(str, EXAMPLES))})")
    names = [name for name in tvl.list_pretrained_linear() if plain.fullmatch(name)]
    every = [model for name in names for model in models(name, story.on)]
    episodes = sample(story, max(EXAMPLES) + 1)
    risk = tvl.analysis.linear_risk(every, TASK, episodes)
    blind, lifted = (
        tvl.analysis.linear_risk(models(name, story.on), TASK, episodes) for name in (BLIND, LIFTED)
    )
    return Chapter(
        "How low is the risk of each prompt format?",
        {"formats": tvl.plots.plot_linear_risk(risk)},
        shown(risk.table().reset_index()),
        [
            *_of_order(risk),
            _of_the_optimum(blind, f"R with C_1 = 0 ({BLIND})", "Prop 3"),
            _of_the_optimum(lifted, f"R of a lifting layer and another ({LIFTED})", "Thm 7"),
        ],
        "R against the number of layers, for x and y in one token, in pairs, and in triplets with "
        "an empty arrow between. Intervals are 95% over seeds and episodes.",
    )


def _of_order(risk: tvl.results.LinearRisk) -> list[Claim]:
    claims = []
    for (claim, examples, seeds), row in risk.order().iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        equal = str(claim).startswith("|")
        found = float(row.estimate), float(row.low), float(row.high)
        agrees = lies(found, below=0.1) if equal else lies(found, above=0)
        paper = "Fig. 4, < 0.1" if equal else "Fig. 4, > 0"
        name = f"{claim}, {examples} examples, {seeds} seed{'s' * (seeds == 'all')}"
        claims.append(Claim(name, paper, *found, agrees))
    return claims


def _of_the_optimum(result: tvl.results.LinearRisk, claim: str, paper: str) -> Claim:
    """That models of one kind reach the best single layer on single tokens."""
    optimum = optimal_risk(5, TASK.d) / TASK.d
    row = result.table().iloc[0]
    found = float(row.estimate), float(row.low), float(row.high)
    return Claim(claim, f"{paper}, {optimum:.3g}", *found, holds(found, optimum))
