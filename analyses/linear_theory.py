"""What is proven of linear transformers, on trained ones: `python analyses/linear_theory.py`."""

from __future__ import annotations

import torch
from claims import Claim, Story, tell
from command_line import parse, plain_errors, quietly

import tvlens as tvl
from tvlens.devices import choose_device
from tvlens.progress import progress

DESCRIPTION = """The theory of linear transformers (arXiv 2506.09048) on models that ship: what
their weights look like, what risk they reach, what dropout changes. A page with figures, and a
table of what is said beside what is found.

The models come from `python analyses/train.py --preset triplet-2x5 --seed 1` and the like.

Example: python analyses/linear_theory.py --out figures/theory"""

TEXT = """Linear transformers trained from several seeds beside the weights and risks that theory
gives them. Intervals are 95% over seeds and episodes; of weights, the smallest and the largest
seed. R is the squared error for each coordinate of y: 4 is knowing nothing."""
STRUCTURES = ("pairwise-2x5-sparse", "triplet-2x5-keep80", "triplet-2x5-sparse", "triplet-2x5")
DROPPED = tuple(
    f"{format}-2x5-keep{keep}" for format in ("pairwise", "triplet") for keep in (60, 80, 90)
)


def main(story: Story) -> None:
    """Measure, compare, and write the page."""
    device = choose_device(story.device)
    generator = torch.Generator(device).manual_seed(story.seed)
    task = tvl.MatrixRegression()
    episodes = tvl.sample_episodes(task, story.episodes, 11, generator=generator)
    structures = {name: structure(name, device) for name in progress(STRUCTURES, "structure")}
    risk = tvl.analysis.linear_risk(plain_models(device), task, episodes)
    blind = tvl.analysis.linear_risk(models("triplet-2x5-blind", device), task, episodes)
    dropped = [model for name in DROPPED for model in models(name, device)]
    short = tvl.sample_episodes(task, story.episodes, 6, generator=generator)
    dropout = tvl.analysis.dropout_risk(dropped, task, short, generator=generator)
    sections = [
        tvl.plots.Section(
            "How low is the risk of each prompt format?",
            [tvl.plots.plot_linear_risk(risk)],
            risk.table().reset_index().round(4).astype(str).replace("nan", ""),
        ),
        tvl.plots.Section(
            "Do triplets gain where tokens drop out?",
            [tvl.plots.plot_dropout_risk(dropout)],
            dropout.table().reset_index().round(4),
        ),
        *(
            tvl.plots.Section(
                f"The weights of {name}",
                [tvl.plots.plot_learned_structure(each)],
                each.scores().rename_axis("distance").reset_index().round(4),
                folded=True,
            )
            for name, each in structures.items()
        ),
    ]
    claims = [*of_weights(structures), *of_risks(risk, blind), *of_dropout(dropout)]
    title = "What does theory say of linear transformers, and do trained ones agree?"
    tell(story, "linear_theory", title, TEXT, claims, sections)


def models(name: str, device: torch.device) -> list[tvl.LinearTransformer]:
    """The models of all seeds."""
    return [run.model for run in tvl.load_pretrained_linear(name, device=str(device))]


def plain_models(device: torch.device) -> list[tvl.LinearTransformer]:
    """All models without a variant, of 5 and of 10 examples."""
    names = [n for n in tvl.list_pretrained_linear() if n.count("-") == 1 and not n.endswith("x1")]
    return [model for name in names for model in models(name, device)]


def structure(name: str, device: torch.device) -> tvl.LearnedStructure:
    """The weights of a model, beside those that training started from."""
    runs = tvl.load_pretrained_linear(name, device=str(device))
    return tvl.analysis.learned_structure(
        [run.model for run in runs],
        tvl.MatrixRegression(),
        untrained=[run.experiment.build_model(device=device) for run in runs],
    )


def of_weights(structures: dict[str, tvl.LearnedStructure]) -> list[Claim]:
    """What theory says of D, and of the matrix K that two layers learn."""
    scores = {name: each.scores() for name, each in structures.items()}

    def below(claim: str, paper: str, model: str, score: str, bound: float) -> Claim:
        estimate, low, high = scores[model].loc[score, ["estimate", "low", "high"]]
        return Claim(
            f"{claim} ({model})", f"{paper}, < {bound:g}", estimate, low, high, high < bound
        )

    pairs, triplets, sparse, plain = STRUCTURES
    layer = next(each for each in scores[pairs].index if each.startswith("off_structure"))
    suffix = layer.removeprefix("off_structure")
    return [
        below("D of pairs is in S_P: share outside", "Thm 1, Fig. 2a", pairs, layer, 0.06),
        below(
            "triplets form vectors as L4 kron L5: s2/s1",
            "Thm 2, Fig. 2b",
            triplets,
            f"second_singular_value{suffix}",
            0.05,
        ),
        below(
            "nothing goes from the query to arrows", "Prop 3", triplets, f"query_row{suffix}", 0.02
        ),
        *(
            below("K is a multiple of I: relative distance", "Prop 3", model, "mixing", 0.06)
            for model in (pairs, plain)
        ),
        below(
            "without dropout vectors are useless: |L4|", "Prop 3", sparse, f"L4_norm{suffix}", 0.05
        ),
    ]


def of_risks(risk: tvl.results.LinearRisk, blind: tvl.results.LinearRisk) -> list[Claim]:
    """What is said of formats and depths (Fig. 4a, b), and the risk in closed form."""
    claims = []
    for (claim, examples), row in risk.order().iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        equal = str(claim).startswith("|")
        agrees = row.high < 0.1 if equal else row.low > 0
        paper = "Fig. 4, < 0.1" if equal else "Fig. 4, > 0"
        name = f"{claim}, {examples} examples"
        claims.append(Claim(name, paper, row.estimate, row.low, row.high, bool(agrees)))
    optimum = tvl.theory.optimal_risk(5, 4) / 4
    row = blind.table().iloc[0]
    low, high = float(row.low), float(row.high)
    agrees, said = low <= optimum <= high, f"Prop 3, {optimum:.3g}"
    return [*claims, Claim("R with C_1 = 0", said, float(row.estimate), low, high, agrees)]


def of_dropout(dropout: tvl.results.DropoutRisk) -> list[Claim]:
    """Triplets do better than pairs where tokens drop out (Prop. 5)."""
    claims = []
    for name, row in dropout.scores().iterrows():
        if str(name).startswith("gain"):
            claim = f"triplets lower R under dropout: {name}"
            found = float(row.estimate), float(row.low), float(row.high)
            claims.append(Claim(claim, "Prop 5, > 0", *found, bool(row.low > 0)))
    return claims


if __name__ == "__main__":
    with plain_errors():
        story = parse(Story, Story(), DESCRIPTION)
        with quietly(story.quiet):
            main(story)
