"""Figures 4a and 4b, and the risk in closed form: what format and depth cost."""

from __future__ import annotations

import re

from claims import Chapter, Claim, Story

import tvlens as tvl
from chapters.shipped import TASK, models, sample, shown
from tvlens.theory import optimal_risk

FORMATS, EXAMPLES = ("single", "pairwise", "triplet"), (5, 10)
BLIND = "triplet-2x5-blind"


def told(story: Story) -> Chapter:
    """Risks of all formats and depths, of 5 and of 10 examples."""
    plain = re.compile(rf"({'|'.join(FORMATS)})-\dx({'|'.join(map(str, EXAMPLES))})")
    names = [name for name in tvl.list_pretrained_linear() if plain.fullmatch(name)]
    every = [model for name in names for model in models(name, story.on)]
    episodes = sample(story, max(EXAMPLES) + 1)
    risk = tvl.analysis.linear_risk(every, TASK, episodes)
    blind = tvl.analysis.linear_risk(models(BLIND, story.on), TASK, episodes)
    return Chapter(
        "How low is the risk of each prompt format?",
        {"formats": tvl.plots.plot_linear_risk(risk)},
        shown(risk.table().reset_index()),
        [*_of_order(risk), _of_the_optimum(blind)],
        "R against the number of layers, for x and y in one token, in pairs, and in triplets with "
        "an empty arrow between. Intervals are 95% over seeds and episodes.",
    )


def _of_order(risk: tvl.results.LinearRisk) -> list[Claim]:
    claims = []
    for (claim, examples), row in risk.order().iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        equal = str(claim).startswith("|")
        agrees = row.high < 0.1 if equal else row.low > 0
        paper = "Fig. 4, < 0.1" if equal else "Fig. 4, > 0"
        name = f"{claim}, {examples} examples"
        claims.append(Claim(name, paper, row.estimate, row.low, row.high, bool(agrees)))
    return claims


def _of_the_optimum(blind: tvl.results.LinearRisk) -> Claim:
    optimum = optimal_risk(5, TASK.d) / TASK.d
    row = blind.table().iloc[0]
    low, high = float(row.low), float(row.high)
    agrees, said = low <= optimum <= high, f"Prop 3, {optimum:.3g}"
    return Claim(f"R with C_1 = 0 ({BLIND})", said, float(row.estimate), low, high, agrees)
