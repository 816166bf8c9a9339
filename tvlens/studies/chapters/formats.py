"""Figures 4a and 4b, and the risk in closed form: what format and depth cost."""

import re

import numpy as np
import torch

from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.plots import plot_linear_risk
from tvlens.prompts import Episodes
from tvlens.results import LinearRisk, Seeds
from tvlens.results.ratios import mean_over_seeds
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, models, sample, shown
from tvlens.studies.claims import Claim, claim_id, holds, lies, near
from tvlens.studies.story import Story
from tvlens.theory import optimal_mixing
from tvlens.training.runs import list_pretrained

FORMATS, EXAMPLES = ("single", "pairwise", "triplet"), (5, 10)
BLIND, LIFTED, SHOWN = "triplet-2x5-blind", "inseparable-2x5", 5
EQUAL, REACHED = 0.1, 0.02
"""How near R is asked to be where it is said to be equal, as a share of it, and to the least."""


def told(story: Story) -> Chapter:
    """Risks of all formats and depths, of 5 and of 10 examples."""
    plain = re.compile(rf"({'|'.join(FORMATS)})-\dx({'|'.join(map(str, EXAMPLES))})")
    names = [name for name in list_pretrained() if plain.fullmatch(name)]
    every = [model for name in names for model in models(name, story.on)]
    episodes = sample(story, max(EXAMPLES) + 1)
    risk = measure_linear_risk(every, TASK, episodes)
    return Chapter(
        "How low is the risk of each prompt format?",
        {"formats": plot_linear_risk(risk)},
        shown(risk.table().reset_index()),
        [
            *_of_order(risk),
            _of_the_optimum(
                "P3", BLIND, episodes, "R above the least: C_1 = 0", "Prop 3", story.on
            ),
            _of_the_optimum("T7", LIFTED, episodes, "R above the least: lifts", "Thm 7", story.on),
        ],
        "R against the number of layers, for x and y in one token, in pairs, and in triplets with "
        "an empty arrow between. Intervals are 95% over seeds and episodes. The best seed is "
        "chosen on one half of the episodes and asked on the other.",
    )


def _of_order(risk: LinearRisk) -> list[Claim]:
    claims = []
    order = risk.order().drop(Seeds.BEST_AS_PAPER, level="seeds")
    for (claim, examples, seeds), row in order.iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        found = float(row.estimate), float(row.low), float(row.high)
        sides = "-".join(map("".join, re.findall(r"(\w)\((\d)\)", claim)))
        id = claim_id("F4", sides, f"examples-{examples}", seeds)
        name = f"{claim}, {examples} examples, {seeds} seed{'s' * (seeds == Seeds.ALL)}"
        if "=" in claim:
            agrees = holds(found, 0.0, within=EQUAL)
            claims.append(Claim(id, name, "Fig. 4, equal", *found, agrees, near(0.0, EQUAL)))
        else:
            claims.append(Claim(id, name, "Fig. 4, > 0", *found, lies(found, above=0.0), "> 0"))
    return claims


def _of_the_optimum(
    source: str, name: str, episodes: Episodes, claim: str, paper: str, on: torch.device
) -> Claim:
    """That models of one kind reach the best single layer on single tokens, which is asked the
    same episodes: the mean of either has an interval far wider than what they differ by.
    """
    result = measure_linear_risk(models(name, on), TASK, episodes)
    above = result.data.error.transpose("run", "episode").values - _least(episodes)
    found = mean_over_seeds(TASK.d * above)
    agrees = holds(found, 0.0, within=REACHED)
    id, said = claim_id(source, "risk", name), f"{claim} ({name})"
    return Claim(id, said, f"{paper}, 0", *found, agrees, near(0.0, REACHED))


def _least(episodes: Episodes) -> np.ndarray:
    """Errors of -Y K X^T x with the best K, of the first 5 examples and the next."""
    x, y, query = episodes.x[:, :SHOWN], episodes.y[:, :SHOWN], episodes.x[:, SHOWN]
    kappa = optimal_mixing(SHOWN, TASK.d)
    answers = -kappa * torch.einsum("biy,bix,bx->by", y, x, query)
    return TASK.error(answers, episodes.target[:, SHOWN]).cpu().numpy()
