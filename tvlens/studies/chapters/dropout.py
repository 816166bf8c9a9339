"""Proposition 5: what task vectors gain where tokens drop out."""

from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.plots import plot_dropout_risk
from tvlens.results import DropoutRisk
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, models, sample, shown
from tvlens.studies.claims import Claim, claim_id, holds, lies, near
from tvlens.studies.story import Story

KEEPS = (60, 80, 90)
NEAR = 0.005
"""How near the share saved is asked to be to that of theory."""
MANY = 10.0
"""Times the episodes of a story: the gain is a hundredth of errors that have heavy tails."""


def told(story: Story) -> Chapter:
    """R of pairs and triplets under the dropout of their training."""
    names = [f"{format}-2x5-keep{keep}" for format in ("pairwise", "triplet") for keep in KEEPS]
    every = [model for name in names for model in models(name, story.on)]
    episodes, generator = sample(story, 6, MANY), story.generator(1)
    risk = measure_dropout_risk(every, TASK, episodes, generator=generator)
    return Chapter(
        "Do triplets gain where tokens drop out?",
        {"dropout": plot_dropout_risk(risk)},
        shown(risk.table().reset_index()),
        _claims(risk),
        "R under dropout against the probability that a token stays. Dotted is the least R of "
        "models with C_1 = 0; models that compare inputs in their first layer may be better. "
        "Intervals are 95% over seeds and episodes.",
    )


def _claims(risk: DropoutRisk) -> list[Claim]:
    optimum, scores, claims = risk.table().optimum, risk.scores(), []
    for keep in sorted(optimum.index.unique("keep")):
        theory = 1 - optimum["triplet", keep] / optimum["pairwise", keep]
        row = scores.loc[f"gain at {keep}"]
        found = float(row.estimate), float(row.low), float(row.high)
        stay = f"keep{100 * keep:.0f}"
        id = claim_id("P5", "gain", stay)
        claim = f"triplets lower R under dropout: share saved where {keep:g} stay"
        claims.append(Claim(id, claim, "Prop 5, > 0", *found, lies(found, above=0.0), "> 0"))
        id, paper = claim_id("P5", "gain-of-theory", stay), f"Prop 5, {theory:.3f}"
        claim = f"as much as at the optimum, where {keep:g} stay"
        agrees = holds(found, theory, within=NEAR)
        claims.append(Claim(id, claim, paper, *found, agrees, near(theory, NEAR)))
    return claims
