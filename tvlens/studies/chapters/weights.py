"""Theorems 1 and 2 and Proposition 3: the weights of trained models beside theory's."""

import pandas as pd
import torch

from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.plots import plot_learned_structure
from tvlens.results import LearnedStructure
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, score, seeds, side_by_side
from tvlens.studies.claims import Claim, claim_id, lies
from tvlens.studies.story import Story
from tvlens.tasks import MatrixRegression
from tvlens.training.linear_presets import CORRELATED as COVARIANCE

PAIRS, PLAIN_PAIRS = "pairwise-2x5-sparse", "pairwise-2x5"
SPARSE, PLAIN = "triplet-2x5-sparse", "triplet-2x5"
BLIND, DROPPING = "triplet-2x5-blind", "triplet-2x5-keep80"
MATRICES, CORRELATED = "triplet-2x5-matrices", "pairwise-2x5-correlated"
SKEWED = MatrixRegression(TASK.d, COVARIANCE)
"""What the latter was trained on."""


def told(story: Story) -> Chapter:
    """D, L4 and K beside the structured sets."""
    names = (PAIRS, PLAIN_PAIRS, SPARSE, PLAIN, BLIND, DROPPING, MATRICES)
    found = {name: structure(name, story.on) for name in names}
    scores = {name: each.scores() for name, each in found.items()}
    return Chapter(
        "Do trained models have the weights that theory finds minimisers among?",
        {
            f"weights-{name}": plot_learned_structure(each).update_layout(
                title=f"The weights of {name}"
            )
            for name, each in found.items()
        },
        side_by_side(scores),
        [
            *_claims(scores),
            *_claims_of_matrices(found[MATRICES]),
            *_claims_of_covariance(
                structure(CORRELATED, story.on, SKEWED), structure(CORRELATED, story.on)
            ),
        ],
        "D as it was trained, the nearest point of the structured set S_P, what is left, and K. "
        "Distances are shares of the length of D or K; intervals are the smallest and the largest "
        f"seed. Proposition 3 is about two layers with C_1 = 0 and no dropout ({BLIND}): there K "
        "decides the risk, and L4 may be 0 or anything that D makes up for.",
    )


def structure(name: str, device: torch.device, task: MatrixRegression = TASK) -> LearnedStructure:
    """The weights of a model, beside those that training started from and the sets of a task."""
    runs = seeds(name, device)
    return measure_learned_structure(
        [run.model for run in runs],
        task,
        untrained=[run.experiment.build_model(device=device) for run in runs],
    )


def _claims(scores: dict[str, pd.DataFrame]) -> list[Claim]:
    def below(id: str, claim: str, paper: str, model: str, name: str, bound: float) -> Claim:
        found = score(scores[model], name)
        agrees, id = lies(found, below=bound), claim_id(id, model)
        return Claim(id, f"{claim} ({model})", f"{paper}, < {bound:g}", *found, agrees)

    layer = next(each for each in scores[PAIRS].index if each.startswith("off_structure"))
    suffix = layer.removeprefix("off_structure")
    norm = f"L4_norm{suffix}"
    return [
        *(
            below(id, f"D of {of} is in S_P: share outside", theorem, model, layer, 0.06)
            for id, of, theorem, model in (
                ("T1.structure", "pairs", "Thm 1, Fig. 2a", PAIRS),
                ("T1.structure", "pairs", "Thm 1, Fig. 2a", PLAIN_PAIRS),
                ("T2.structure", "triplets", "Thm 2, Fig. 2b", SPARSE),
                ("T2.structure", "triplets", "Thm 2, Fig. 2b", PLAIN),
                ("T2.structure", "triplets", "Thm 2, Fig. 2b", DROPPING),
            )
        ),
        below(
            "T2.product",
            "vectors form as L4 kron L5: s2/s1",
            "Thm 2, Fig. 2b",
            DROPPING,
            f"second_singular_value{suffix}",
            0.05,
        ),
        *(
            below("P3.mixing", "K is a multiple of I: distance", "Prop 3", model, "mixing", 0.06)
            for model in (BLIND, PAIRS, PLAIN, DROPPING)
        ),
        *(
            below(id, claim, paper, model, f"{name}{suffix}", bound)
            for id, claim, paper, name, bound in (
                (
                    "P3.query-row",
                    "nothing goes from the query to arrows",
                    "Prop 3",
                    "query_row",
                    0.02,
                ),
                (
                    "P3.equal-rows",
                    "L4 L4ᵀ is a multiple of I: distance",
                    "Prop 3, Fig. 2c",
                    "unequal_examples",
                    0.06,
                ),
            )
            for model in (BLIND, DROPPING)
        ),
        *(
            below(
                "P3.no-vectors", "without dropout L4 is 0: its length", "Prop 3", model, norm, 0.05
            )
            for model in (BLIND, SPARSE)
        ),
    ]


def _claims_of_matrices(result: LearnedStructure) -> list[Claim]:
    """Of A, B and C where they are free, as the distance to the nearest multiple of I."""
    distances = result.distances().sel(training="trained", drop=True)

    def by_layer(name: str, layer: int) -> pd.Series:
        return distances[name].sel(layer=layer, drop=True).to_series()

    def below(id: str, what: str, whose: str, values: pd.Series) -> Claim:
        found, bound = (float(values.mean()), float(values.min()), float(values.max())), 0.06
        said = f"{what} is a multiple of I: distance ({MATRICES}, {whose})"
        return Claim(id, said, f"Thm 1 and 2, < {bound:g}", *found, lies(found, below=bound))

    ranges = {"B_1": by_layer("B", 1), "B_2": by_layer("B", 2), "C_1": by_layer("C", 1)}
    apart = {
        "A_1": by_layer("A", 1),
        "C_2": by_layer("C", 2),
        "A_1ᵀ C_2 A_1": distances["product"].to_series(),
    }
    claims = [
        below(claim_id("T1-2", what), what, "range of seeds", each) for what, each in ranges.items()
    ]
    # Seeds differ in these by more than can be told in a range.
    for what, each in apart.items():
        for seed in each.index:
            id = claim_id("T1-2", what.replace("ᵀ", "T"), f"seed-{seed}")
            claims.append(below(id, what, f"seed {seed}", each.loc[[seed]]))
    nearer = apart["A_1ᵀ C_2 A_1"] - pd.concat([apart["A_1"], apart["C_2"]], axis=1).max(axis=1)
    found = float(nearer.mean()), float(nearer.min()), float(nearer.max())
    said = f"A_1ᵀ C_2 A_1 is nearer than the farther of A_1 and C_2 ({MATRICES}, range of seeds)"
    return [
        *claims,
        Claim(
            "T1-2.product-nearer",
            said,
            "Thm 1 and 2 but for a turn of x, < 0",
            *found,
            lies(found, below=0.0),
        ),
    ]


def _claims_of_covariance(own: LearnedStructure, as_if_white: LearnedStructure) -> list[Claim]:
    """Where x has a covariance S, C is a multiple of its inverse, and not of I."""
    inverse, identity = (
        each.distances()["C"].sel(training="trained", layer=1) for each in (own, as_if_white)
    )
    claims = []
    for id, what, values, said, bound in (
        (
            "T1.covariance.C_1-nearer",
            "C_1 is nearer to a multiple of S⁻¹ than to one of I",
            inverse - identity,
            "",
            0.0,
        ),
        ("T1.covariance.C_1", "C_1 is a multiple of S⁻¹", inverse, "distance, ", 0.15),
        (
            "T1.covariance.mixing",
            "K is a multiple of I",
            own.distances()["mixing"].sel(training="trained"),
            "distance, ",
            0.06,
        ),
    ):
        found = float(values.mean()), float(values.min()), float(values.max())
        claim = f"{what}: {said}x of another covariance ({CORRELATED}, range of seeds)"
        claims.append(Claim(id, claim, f"Thm 1, < {bound:g}", *found, lies(found, below=bound)))
    return claims
