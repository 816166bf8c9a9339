"""Theorems 1 and 2 and Proposition 3: the weights of trained models beside theory's."""

from __future__ import annotations

import pandas as pd
import torch
from claims import Chapter, Claim, Story, lies

import tvlens as tvl
from chapters.shipped import TASK, side_by_side
from tvlens.results.bounds import BOUNDS

PAIRS, PLAIN_PAIRS = "pairwise-2x5-sparse", "pairwise-2x5"
SPARSE, PLAIN = "triplet-2x5-sparse", "triplet-2x5"
BLIND, DROPPING = "triplet-2x5-blind", "triplet-2x5-keep80"


def told(story: Story) -> Chapter:
    """D, L4 and K beside the structured sets."""
    names = (PAIRS, PLAIN_PAIRS, SPARSE, PLAIN, BLIND, DROPPING)
    found = {name: structure(name, story.on) for name in names}
    scores = {name: each.scores() for name, each in found.items()}
    return Chapter(
        "Do trained models have the weights that theory finds minimisers among?",
        {
            f"weights-{name}": tvl.plots.plot_learned_structure(each).update_layout(
                title=f"The weights of {name}"
            )
            for name, each in found.items()
        },
        side_by_side(scores),
        _claims(scores),
        "D as it was trained, the nearest point of the structured set S_P, what is left, and K. "
        "Distances are shares of the length of D or K; intervals are the smallest and the largest "
        f"seed. Proposition 3 is about two layers with C_1 = 0 and no dropout ({BLIND}): there K "
        "decides the risk, and L4 may be 0 or anything that D makes up for.",
    )


def structure(name: str, device: torch.device) -> tvl.LearnedStructure:
    """The weights of a model, beside those that training started from."""
    runs = tvl.load_pretrained_linear(name, device=str(device))
    return tvl.analysis.learned_structure(
        [run.model for run in runs],
        TASK,
        untrained=[run.experiment.build_model(device=device) for run in runs],
    )


def _claims(scores: dict[str, pd.DataFrame]) -> list[Claim]:
    def below(claim: str, paper: str, model: str, score: str, bound: float) -> Claim:
        estimate, low, high = map(float, scores[model].loc[score, list(BOUNDS)])
        found = estimate, low, high
        agrees = lies(found, below=bound)
        return Claim(f"{claim} ({model})", f"{paper}, < {bound:g}", *found, agrees)

    layer = next(each for each in scores[PAIRS].index if each.startswith("off_structure"))
    suffix = layer.removeprefix("off_structure")
    norm = f"L4_norm{suffix}"
    return [
        *(
            below(f"D of {of} is in S_P: share outside", theorem, model, layer, 0.06)
            for of, theorem, model in (
                ("pairs", "Thm 1, Fig. 2a", PAIRS),
                ("pairs", "Thm 1, Fig. 2a", PLAIN_PAIRS),
                ("triplets", "Thm 2, Fig. 2b", SPARSE),
                ("triplets", "Thm 2, Fig. 2b", PLAIN),
                ("triplets", "Thm 2, Fig. 2b", DROPPING),
            )
        ),
        below(
            "vectors form as L4 kron L5: s2/s1",
            "Thm 2, Fig. 2b",
            DROPPING,
            f"second_singular_value{suffix}",
            0.05,
        ),
        *(
            below("K is a multiple of I: distance", "Prop 3", model, "mixing", 0.06)
            for model in (BLIND, PAIRS, PLAIN, DROPPING)
        ),
        *(
            below(claim, paper, model, f"{score}{suffix}", bound)
            for claim, paper, score, bound in (
                ("nothing goes from the query to arrows", "Prop 3", "query_row", 0.02),
                (
                    "L4 L4ᵀ is a multiple of I: distance",
                    "Prop 3, Fig. 2c",
                    "unequal_examples",
                    0.06,
                ),
            )
            for model in (BLIND, DROPPING)
        ),
        *(
            below("without dropout L4 is 0: its length", "Prop 3", model, norm, 0.05)
            for model in (BLIND, SPARSE)
        ),
    ]
