"""What results of linear transformers answer: each is of several seeds of some models."""

from tvlens import results as kinds
from tvlens.plots.demonstration_value import plot_demonstration_value
from tvlens.plots.demonstration_weights import plot_demonstration_weights
from tvlens.plots.dropout_risk import plot_dropout_risk
from tvlens.plots.learned_structure import plot_learned_structure, plot_structure_distances
from tvlens.plots.linear_risk import plot_linear_risk
from tvlens.plots.question import Question
from tvlens.plots.rank_sweep import plot_rank_sweep, plot_rank_sweep_outcomes
from tvlens.plots.risk_landscape import plot_risk_landscape
from tvlens.results import Result

LINEAR_QUESTIONS: dict[type[Result], Question] = {
    kinds.LinearRisk: Question(
        "What do prompt format and depth cost a linear transformer?",
        "R is the squared error for each coordinate of y, on the same episodes for all models; a "
        "model that knows nothing has d, the width of y. Dots are seeds, and diamonds the least R "
        "that is proven. Errors are heavy-tailed: compare the differences of the table of order, "
        "not intervals of single means. Intervals are 95%, over seeds and episodes.",
        draw_each=(plot_linear_risk,),
    ),
    kinds.DropoutRisk: Question(
        "Do task vectors help where tokens drop out?",
        "Left: R when tokens are lost as in training, against the probability that one stays; "
        "dotted, the least R of models whose first layer does not compare inputs, which others may "
        "go below. Right: the share of the risk of pairs that triplets save, on the same episodes; "
        "it takes some ten thousands of them to tell 2% from nothing. Dots on the left are seeds. "
        "Intervals are 95%, over seeds and episodes.",
        draw_each=(plot_dropout_risk,),
    ),
    kinds.DemonstrationWeights: Question(
        "Which examples does the vector hold most of?",
        "How far a vector moves, over its length, when y of one example is that of another input "
        "of the same function. A vector that is one example alone moves by about 1.4 with it and "
        "by 0 with any other. Each line of dots is a seed: a mean over seeds that each hold other "
        "examples looks like a vector that holds all of them. What a vector holds of an example "
        "without its y is not seen. Intervals are 95%, over seeds and episodes.",
        draw_each=(plot_demonstration_weights,),
    ),
    kinds.DemonstrationValue: Question(
        "How many examples is a task vector worth?",
        "Errors after contexts of 0 to n examples, and of prompts without examples that are given "
        "the vectors of the last arrows of a context of n: above of the direction of the answer "
        "(2 is knowing nothing), below the squared error. The worth of vectors is the place on the "
        "curve of contexts that has their error; where that curve rises, as on data of one line, "
        "it is no scale. Thin lines are seeds: without dropout in training some have no vector. "
        "Bands are 95%, over seeds and episodes.",
        draw=(plot_demonstration_value,),
        comparable=lambda each: each.data.sizes["examples"],
    ),
    kinds.RankSweep: Question(
        "Up to which rank does a vector hold a map?",
        "Maps take some of 2 p orthonormal vectors to others; an answer counts as the one that it "
        "points to, or its opposite. A vector that acts as one example answers right for one item "
        "in rank (dotted), whether the map goes one way or both. Bars: what the answers with one "
        "vector are. The nearest item is a lenient judge: the length of an answer does not count. "
        "Intervals are 95%, over seeds and episodes.",
        draw=(plot_rank_sweep, plot_rank_sweep_outcomes),
    ),
    kinds.LearnedStructure: Question(
        "Do linear transformers learn the weights that theory speaks of?",
        "Distances of trained and of untrained seeds to the sets in which theory finds minimisers, "
        "over the size of what there is: 0 is in the set. Below, for each model, its D, the "
        "nearest point of the set and the rest, a row for each seed. Signs, and turns of the "
        "empty arrows, are free; K, the map of a context to the answer, is not, so trust its "
        "distance first. Where L4 is next to 0 its shape is noise.",
        draw=(plot_structure_distances,),
        draw_each=(plot_learned_structure,),
        comparable=lambda each: each.data.attrs["d"],
    ),
    kinds.RiskLandscape: Question(
        "Is a linear transformer at a minimum, and what does it cost to leave it?",
        "The error of models whose weights are moved along the structured set, off it, and along "
        "symmetries, on the same episodes. Step 0 is the model; step 1 is as long as the "
        "nearest point of the set, whatever the direction. A second row is of dropped tokens, as "
        "in training. Circles are the risk of K in closed form. Thin lines are seeds and "
        "directions; bands are 95%, over seeds and episodes. Errors are heavy-tailed: compare "
        "points of a curve, not curves of other episodes.",
        draw_each=(plot_risk_landscape,),
    ),
}
"""Questions by the kind of result that answers them, in the order of a report."""
