"""Figure 3c: which examples a vector is made of, beside theory's relaxation."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Generator

from tvlens.analysis.demonstration_weights import measure_demonstration_weights
from tvlens.interventions.patching import Site
from tvlens.plots import plot_demonstration_weights
from tvlens.plots.theme import COLOURS, TEMPLATE
from tvlens.prompts import Role
from tvlens.results import DemonstrationWeights
from tvlens.studies.book import Chapter
from tvlens.studies.chapters.shipped import TASK, models, sample, score, shown
from tvlens.studies.claims import Claim, claim_id, holds, lies, near
from tvlens.studies.story import Story
from tvlens.tasks import fresh_queries
from tvlens.theory import (
    ArrowSources,
    DropoutConstants,
    best_arrow_weights,
    local_arrow_weights,
    optimal_dropout_mixing,
)

CAUSAL, BOTH_WAYS = "triplet-2x5-keep80-causal", "triplet-2x5-keep80"
KEEP = 0.8
OF_FIGURE, KEEP_OF_FIGURE = 10, 0.2
"""Examples and keep of the line in Figure 3c."""
PUBLISHED, LOWEST, CORRECTED = "as published", "lowest of 8 searches", "corrected constants"


def told(story: Story) -> Chapter:
    """How far the query's vector moves with each example, and the weights theory gives it."""
    causal, both = (weights_of(name, story) for name in (CAUSAL, BOTH_WAYS))
    relaxed = {each: relaxation(each, story) for each in list(ArrowSources)[1:]}
    table = causal.table()
    mean = table.estimate.mean()
    theory = {f"theory, {each.value}": mean * w / w.mean() for each, w in relaxed.items()}
    in_paper = relaxed[ArrowSources.UP_TO_OWN]
    drawn = plot_demonstration_weights(causal, in_paper.tolist())
    lines = lines_of_figure(story)
    return Chapter(
        "Which examples does a vector hold most of?",
        {
            "demonstrations": drawn.update_layout(title=f"What a vector of {CAUSAL} is made of"),
            "demonstrations-both-ways": plot_demonstration_weights(both).update_layout(
                title=f"And of {BOTH_WAYS}, where every token sees all"
            ),
            "demonstrations-line": draw_lines(lines),
        },
        shown(table.assign(**theory).rename_axis("example").reset_index()),
        _claims(causal) + _claims_of_lines(lines),
        "How far the vector of the query's arrow moves, as a share of its length, when the y of "
        "one example is another one. The line is the optimum of the relaxation in which an arrow "
        "sees the examples up to its own, scaled to the mean of the bars; in a causal model it "
        "sees only those before its own, which changes the optimum (table). Intervals are 95% "
        "over seeds and episodes. The last figure is of theory alone: the line that is drawn in "
        "Figure 3c (10 examples, a token stays with probability 0.2), the lowest minimum of the "
        "same objective in some searches, and that with the constants of the mean over all masks.",
    )


def weights_of(name: str, story: Story) -> DemonstrationWeights:
    """What each example weighs in the vector of the query's arrow."""
    some, episodes = models(name, story.on), sample(story, 6, 1 / 2)
    generator = story.generator(1)
    others = fresh_queries(TASK, episodes, generator=generator)
    lay_out, last_arrow = some[0].format.context, Site(1, Role.ARROW, -1)
    return measure_demonstration_weights(some, lay_out, episodes, others, last_arrow)


def relaxation(sources: ArrowSources, story: Story) -> np.ndarray:
    """Weights of the examples in the query's arrow at the optimum, without sign."""
    generator = Generator().manual_seed(story.seed)
    found = optimal_dropout_mixing(5, TASK.d, KEEP, sources=sources, generator=generator)
    return found.mixing[:, -1].abs().numpy()


def lines_of_figure(story: Story) -> pd.DataFrame:
    """Weights of the examples in the last arrow, without sign, over the length of all."""
    start = np.zeros((OF_FIGURE, OF_FIGURE))
    # The seed with which the code of the paper gives the line that is published.
    start[np.triu_indices(OF_FIGURE)] = np.random.RandomState(24).rand(55)
    paper = DropoutConstants.PAPER.quartic(TASK.d, KEEP_OF_FIGURE)
    found = {PUBLISHED: local_arrow_weights(torch.from_numpy(start), paper, tolerance=1e-5)}
    for name, constants in (
        (LOWEST, DropoutConstants.PAPER),
        (CORRECTED, DropoutConstants.CORRECTED),
    ):
        found[name] = best_arrow_weights(
            OF_FIGURE,
            TASK.d,
            KEEP_OF_FIGURE,
            constants=constants,
            starts=8,
            generator=Generator().manual_seed(story.seed),
        )
    lines = {name: mixing[:, -1].abs().numpy() for name, mixing in found.items()}
    return pd.DataFrame(lines, index=pd.RangeIndex(1, OF_FIGURE + 1, name="example"))


def draw_lines(lines: pd.DataFrame) -> go.Figure:
    """Each line of theory, by example."""
    drawn = go.Figure()
    for (name, line), colour in zip(lines.items(), ("oracle", "icl", "tvp"), strict=True):
        drawn.add_scatter(
            x=lines.index,
            y=line,
            name=str(name),
            mode="lines+markers",
            line={"color": COLOURS[colour], "width": 3},
        )
    drawn.update_xaxes(title="example", tickvals=lines.index)
    drawn.update_yaxes(title="weight in the last arrow", rangemode="tozero")
    return drawn.update_layout(
        template=TEMPLATE, title="The line of Figure 3c, and with other constants", height=420
    )


def _claims_of_lines(lines: pd.DataFrame) -> list[Claim]:
    """Of the lines that do not depend on how many searches there were."""

    def grows(name: str) -> Claim:
        step = float(np.diff(lines[name]).min())
        found = step, step, step
        claim = f"every example weighs more than the one before: smallest step ({name})"
        id = claim_id("F3c", "line", name)
        return Claim(id, claim, "Fig. 3c's line, > 0", *found, lies(found, above=0.0))

    return [grows(PUBLISHED), grows(CORRECTED)]


def _claims(result: DemonstrationWeights) -> list[Claim]:
    order = score(result.scores(), "order")
    means = result.data["shift"].mean("episode").transpose("seed", "example")
    heaviest = result.data.example.values[means.values.argmax(1)].astype(float)
    found = float(heaviest.mean()), float(heaviest.min()), float(heaviest.max())
    last = float(result.data.example[-1])
    return [
        Claim(
            "F3c.later",
            "later examples weigh more: order",
            "Fig. 3c, > 0",
            *order,
            lies(order, above=0.0),
        ),
        Claim(
            "F3c.each",
            "each weighs more than the one before: order",
            "Fig. 3c, 1",
            *order,
            holds(order, 1.0, within=0.1),
            near(1.0, 0.1),
        ),
        Claim(
            "F3c.last",
            "the last example weighs most: number of the heaviest (range of seeds)",
            f"Fig. 3c, {last:g}",
            *found,
            holds(found, last, within=0.0),
            near(last, 0.0),
        ),
    ]
