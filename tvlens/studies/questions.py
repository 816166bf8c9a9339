"""Every question there is, in the order of a report."""

from collections.abc import Hashable, Iterable

from tvlens import plots
from tvlens import results as kinds
from tvlens.base.errors import InputError, did_you_mean
from tvlens.results import Result
from tvlens.studies.question import Question


def question_of(kind: type[Result]) -> Question:
    """The question that a kind of result answers.

    Raises:
        InputError: it answers none.
    """
    for question in QUESTIONS.values():
        if question.result is kind:
            return question
    known = ", ".join(each.result.__name__ for each in QUESTIONS.values())
    raise InputError(f"There is no page of a {kind.__name__}; there is one of {known}.")


def questions_named(names: Iterable[str]) -> list[Question]:
    """Questions by name.

    Raises:
        InputError: there is none of a name.
    """
    names = list(names)
    for name in names:
        if name not in QUESTIONS:
            raise InputError(f"There is no question {name!r}.{did_you_mean(name, QUESTIONS)}")
    return [QUESTIONS[name] for name in names]


def _same_episodes(result: Result) -> Hashable:
    return tuple(result.data.attrs.get(each) for each in ("d", "task", "examples", "episodes"))


_EVERY = (
    Question(
        "locality_map",
        kinds.LocalityMap,
        "Where is the task kept, and how strongly?",
        "Each cell writes one vector, read after the given number of examples, into a prompt "
        "without examples, and asks how much of what in-context learning gains is back: 1 is all, "
        "0 nothing, below 0 harm. Layer 0 is the embedding. Intervals are 95% by bootstrap over "
        "episodes.",
        draw=(plots.plot_locality,),
        table=kinds.locality_table,
        one_layer=False,
    ),
    Question(
        "icl_curve",
        kinds.ICLCurve,
        "What does the context give, and what does one vector keep?",
        "The error of the answer after a number of examples, for the full context, for a prompt "
        "without examples that is given the task vector, for the same prompt untouched, and for "
        "the best predictor there is. 0 is right, about 1 is knowing nothing. Bands are 95% by "
        "bootstrap over episodes.",
        draw=(plots.plot_icl_curve,),
    ),
    Question(
        "geometry",
        kinds.Geometry,
        "How do the task vectors of different functions lie to each other?",
        "Each point is the vector of one context, coloured by its function or by the parameter of "
        "its function; principal components are those of the layer. The share of variance between "
        "functions (eta2) is 1 if a vector tells nothing but the function. Silhouettes are 1 for "
        "clusters of points, 0 or less where functions overlap. Dotted: functions shuffled among "
        "the vectors. Bands are 95%, over functions.",
        draw=(plots.plot_geometry, plots.plot_geometry_over_layers),
        comparable=lambda each: (each.data.attrs["format"], each.data.params.values.tobytes()),
    ),
    Question(
        "decodability",
        kinds.Decodability,
        "Can the task be read off the vectors, and does the model read it?",
        "R² is of a ridge regression from the vector to the parameters of the function, on "
        "functions that it was not fitted on; the black line is what the best estimate from the "
        "same context reaches. Accuracy is the share of vectors whose 10 nearest others vote for "
        "their own function. Recovery is the share of what in-context learning gains that the "
        "model gains when the vector is written into a prompt without a context. Dotted grey: "
        "functions shuffled. Bands are 95% by resampling functions.",
        draw=(
            plots.plot_decodability,
            plots.plot_decodability_and_recovery,
            plots.plot_probe_targets,
        ),
        comparable=lambda each: tuple(each.data.target.values),
    ),
    Question(
        "disentanglement",
        kinds.Disentanglement,
        "Does the task vector hold the task and nothing else?",
        "Above: recovery with the vectors of single contexts and with their mean over contexts of "
        "one function; what the mean gains was in the way. Middle: held-out R² of ridge "
        "regressions from the vector to the example before the carrier, the number of examples, "
        "and the query; dotted after shuffling among contexts of one function. Below: the share of "
        "the vectors' variance that lies within functions. Bands are 95% by bootstrap over "
        "functions.",
        draw=(plots.plot_disentanglement,),
        episodes=1024,
    ),
    Question(
        "vocabulary",
        kinds.Vocabulary,
        "Which symbols does the task vector stand for?",
        "The vector of each layer goes through the final norm and the unembedding, as if it were "
        "the stream after the last block. Above: the sorts of the five most likely symbols; each "
        "symbol is of the first sort that it fits. Middle: the share of outputs that the context "
        "shows, with other vectors as controls, and for symbols at random. Below: the mean "
        "of 1 / rank of the answer to the context's own query, which some carriers have seen, and "
        "of the other outputs. Bands are 95% by bootstrap over episodes.",
        draw=(plots.plot_vocabulary,),
        models=("offset-vanilla", "offset-tvp"),
    ),
    Question(
        "transfer",
        kinds.Transfer,
        "Does a task vector serve elsewhere than where it was read?",
        "Above: recovery with the vector of the longest context, read at one layer and written "
        "at another. Below: the vector after a number of examples, in a zero-shot prompt with the "
        "position ids of another number, at the layer reported. With rotary positions, or none, "
        "position ids make no difference. 1 is all that in-context learning gains, 0 nothing, "
        "below 0 harm; cells are empty where in-context learning gains nothing yet. Intervals "
        "(hover) are 95% by bootstrap over episodes.",
        draw=(plots.plot_transfer,),
    ),
    Question(
        "several_vectors",
        kinds.SeveralVectors,
        "Do several vectors serve better than one?",
        "A prompt has N examples. One vector is the residual stream at the carrier after a longer "
        "context of the same function, written on the last carrier; several are written on all "
        "N + 1 carriers, one of each of N + 1 contexts, or all of one. The same vector on every "
        "carrier is the control. Layers are chosen on other episodes. Below: how much smaller the "
        "error is than with one vector, in the same episodes. 0 is right, about 1 is knowing "
        "nothing. Bands are 95% by bootstrap over functions.",
        draw=(plots.plot_several_vectors,),
        one_layer=False,
    ),
    Question(
        "conflict",
        kinds.Conflict,
        "Context or vector: which task does the answer follow?",
        "Above: alpha of the answer when the context shows task A and the carrier holds the "
        "vector of task B: 0 follows the context, 1 the vector. An answer that knows neither is at "
        "1/2, so look at the errors against both tasks (middle). Below: alpha of zero-shot prompts "
        "that are given (1 - share) A + share B. Bands are 95% by bootstrap over pairs of "
        "functions.",
        draw=(plots.plot_conflict,),
    ),
    Question(
        "noise",
        kinds.NoiseCurves,
        "How much noise in the labels does a model bear?",
        "Errors after the longest context when its labels are noisy; what predictions are scored "
        "against is not. Area: mean excess over the error without noise, between level 0 and the "
        "largest. Half level: the level at which half of what the examples gain is lost; inf where "
        "the grid ends before. Corrupted example: one wrong label, averaged over its position, and "
        "by how much the last example counts for more than the first. The oracle knows the label "
        "noise, and the share of flips; of outliers it knows nothing. Bands are 95% by bootstrap "
        "over episodes.",
        draw=(plots.plot_noise,),
        draw_pairs=(plots.plot_noise_differences,),
        comparable=kinds.same_test,
        compare=kinds.noise_table,
    ),
    Question(
        "distribution_shifts",
        kinds.DistributionShifts,
        "What becomes of errors when test data come from elsewhere?",
        "Bars: the error after the longest context, as a share of the error of the same queries "
        "without a context: 0 is right, 1 is knowing nothing. The oracle knows the inputs that it "
        "is given, but not that functions come from elsewhere. Dots: paired differences between "
        "models, filled where q < 0.05 after adjustment for those of each pair. The table has "
        "plain errors. Intervals are 95% by bootstrap over episodes.",
        draw=(plots.plot_distribution_shifts,),
        draw_pairs=(plots.plot_shift_differences,),
        comparable=kinds.same_test,
        compare=kinds.difference_table,
    ),
    Question(
        "attention_map",
        kinds.AttentionMap,
        "Which tokens does each head look at?",
        "Each row is a head (L1H2 is the third of the second block), each column a kind of "
        "token: own, of the example in which the looking token stands; previous, of the one "
        "before; earlier, of all before that. A row sums to 1. The mean is over all tokens of a "
        "role from the second example of the longest context on. The lowest panels show the answer "
        "token of a prompt without examples, before and after the task vector is written into it.",
        draw=(plots.plot_attention_map,),
    ),
    Question(
        "contributions",
        kinds.Contributions,
        "What do the heads and MLPs add to the task vector?",
        "The task vector is the sum of what the embedding, the heads (L1H2 is the third of the "
        "second block), the biases of attention and the MLPs add to the residual stream at the "
        "carrier, up to the layer of the vector. Bars are the projection of each on the vector: "
        "grey for the whole vector, blue after the mean over functions is taken away, which "
        "carries no task. Both sum to 1. Error bars are 95% by bootstrap over episodes.",
        draw=(plots.plot_contributions,),
    ),
    Question(
        "part_effects",
        kinds.PartEffects,
        "Which heads and MLPs write the task vector, and which read it?",
        "Each row is a head (L1H2 is the third of the second block), all heads of a block, or an "
        "MLP. The first three columns are the recovery lost when it puts out its mean over "
        "episodes: at the carrier while the vector is read, in the whole context, or at the "
        "answer token of the prompt that the vector is written into. The fourth is the gain of "
        "in-context learning lost when it does so in the whole context. The others are the "
        "share of the right answer restored in a context with the labels of another function, "
        "when the part puts out what it does in the right context, and its mean as a control. 1 "
        "is everything; numbers stand where q < 0.05.",
        draw=(plots.plot_part_effects,),
        episodes=256,
    ),
    Question(
        "patch_map",
        kinds.PatchMap,
        "Where does a context know which function is asked?",
        "The labels of a context are exchanged for those of another function, and at one layer "
        "and one kind of token the residual stream is put back to what it was: at the last "
        "token of a role, or at all. Cells are the share of the right answer that this "
        "restores; 1 is all. Below, as a control, the mean over functions is put there instead: "
        "to forget the wrong function brings some of the answer back without knowing the right "
        "one.",
        draw=(plots.plot_patch_map,),
    ),
    Question(
        "saliency_map",
        kinds.SaliencyMap,
        "Along which attention edges does the context reach the answer?",
        "The saliency of an attention edge is the sum over heads of |attention times the "
        "gradient of the last answer's loss with respect to it|. Cells are its sum over all "
        "tokens of a kind, as a share of the saliency of all blocks: z, x, y are the tokens of "
        "the examples, last z and last x those of the query.",
        draw=(plots.plot_saliency_map,),
    ),
    Question(
        "information_flow",
        kinds.InformationFlow,
        "Where are examples put together, and where is the vector made of them?",
        "Above: of the saliency of all attention of the y tokens, the share that goes to the other "
        "tokens of their own examples; of that of the last carrier, the share that goes to the y. "
        "Middle: Spearman's correlation of the saliency from the carrier to each y with the number "
        "of its example, 1 if each weighs more than the one before. Dotted: before training. "
        "Below: recovery with the vector of the layer that the block leads to. Lines end where a "
        "token has no saliency. Bands are 95% by bootstrap over episodes.",
        draw=(plots.plot_information_flow,),
        one_layer=False,
    ),
    Question(
        "pruning",
        kinds.Pruning,
        "How much of the context can be dropped above a layer?",
        "Up to a layer the model reads the whole context; above it only the tokens of the query "
        "go on and see only each other. Shown is how much of what the context gains is kept, at "
        "the longest context: 1 is all, 0 nothing. Beside it the same with the carrier's states of "
        "the full context, which saves memory and no time, and the task vector alone in a prompt "
        "without examples. Under each layer stands which share of the keys and values is still "
        "held. The curves below are mean errors. Bands are 95% by bootstrap over episodes.",
        draw=(plots.plot_pruning, plots.plot_pruning_curve),
        one_layer=False,
    ),
    Question(
        "bijections",
        kinds.BijectionAnswers,
        "How many items of a map does one vector serve?",
        "Functions map some symbols, their items, to symbols: one way (forward, inverse), both "
        "ways (an involution), or to themselves (copy). The vector is read in a context that ends "
        "in a dummy query, one of the items, and another item is asked with it. A vector that "
        "acts as a single example (dotted) serves 1 / items. The layer is chosen for each map, on "
        "other episodes. Bars: what the answers are where the dummy is not the query; the partner "
        "of a query is the other symbol of its pair. Intervals are 95% by bootstrap over "
        "functions.",
        draw=(
            plots.plot_bijections,
            plots.plot_bijections_over_layers,
            plots.plot_bijection_errors,
        ),
        comparable=lambda each: each.data.attrs["format"],
        table=kinds.accuracy_table,
        models=("bijections-vanilla", "relations-vanilla", "relations-tvp"),
        episodes=8192,
        examples=8,
        one_layer=False,
    ),
    Question(
        "emergence",
        kinds.Emergence,
        "When does the task vector come to be?",
        "Errors of in-context learning and of prompts that are given the task vector of each "
        "layer, and how much of the vectors' variance lies between functions, against training "
        "steps. Below, the slider shows after each number of steps how much of in-context learning "
        "one vector carries, and how the vectors of different functions (colours) lie to each "
        "other. 0 is right, about 1 is knowing nothing.",
        draw=(plots.plot_emergence,),
        draw_each=(plots.plot_emergence_animation,),
        models=(),
        episodes=128,
    ),
    Question(
        "linear_risk",
        kinds.LinearRisk,
        "What do prompt format and depth cost a linear transformer?",
        "R is the squared error for each coordinate of y, on the same episodes for all models; a "
        "model that knows nothing has d, the width of y. Dots are seeds, and diamonds the least R "
        "that is proven. Errors are heavy-tailed: compare the differences of the table of order, "
        "not intervals of single means. Intervals are 95%, over seeds and episodes.",
        draw_joined=(plots.plot_linear_risk,),
        comparable=_same_episodes,
        models=("single-2x5", "pairwise-2x5", "triplet-2x5"),
        episodes=4096,
        examples=10,
        one_layer=False,
        several_seeds=True,
    ),
    Question(
        "dropout_risk",
        kinds.DropoutRisk,
        "Do task vectors help where tokens drop out?",
        "Left: R when tokens are lost as in training, against the probability that one stays; "
        "dotted, the least R of models whose first layer does not compare inputs, which others may "
        "go below. Right: the share of the risk of pairs that triplets save, on the same episodes; "
        "it takes some ten thousands of them to tell 2% from nothing. Dots on the left are seeds. "
        "Intervals are 95%, over seeds and episodes.",
        draw_joined=(plots.plot_dropout_risk,),
        comparable=_same_episodes,
        models=("pairwise-2x5-keep80", "triplet-2x5-keep80"),
        episodes=32768,
        one_layer=False,
        several_seeds=True,
    ),
    Question(
        "demonstration_weights",
        kinds.DemonstrationWeights,
        "Which examples does the vector hold most of?",
        "How far a vector moves, over its length, when y of one example is that of another input "
        "of the same function. A vector that is one example alone moves by about 1.4 with it and "
        "by 0 with any other. Each line of dots is a seed: a mean over seeds that each hold other "
        "examples looks like a vector that holds all of them. What a vector holds of an example "
        "without its y is not seen. Intervals are 95%, over seeds and episodes.",
        draw_each=(plots.plot_demonstration_weights,),
        models=("triplet-2x5-keep80-causal",),
        episodes=4096,
        several_seeds=True,
    ),
    Question(
        "demonstration_value",
        kinds.DemonstrationValue,
        "How many examples is a task vector worth?",
        "Errors after contexts of 0 to n examples, and of prompts without examples that are given "
        "the vectors of the last arrows of a context of n: above of the direction of the answer "
        "(2 is knowing nothing), below the squared error. The worth of vectors is the place on the "
        "curve of contexts that has their error; where that curve rises, as on data of one line, "
        "it is no scale. Thin lines are seeds: without dropout in training some have no vector. "
        "Bands are 95%, over seeds and episodes.",
        draw=(plots.plot_demonstration_value,),
        comparable=lambda each: each.data.sizes["examples"],
        models=("triplet-2x5", "triplet-2x5-keep80"),
        episodes=2048,
        several_seeds=True,
    ),
    Question(
        "rank_sweep",
        kinds.RankSweep,
        "Up to which rank does a vector hold a map?",
        "Maps take some of 2 p orthonormal vectors to others; an answer counts as the one that it "
        "points to, or its opposite. A vector that acts as one example answers right for one item "
        "in rank (dotted), whether the map goes one way or both. Bars: what the answers with one "
        "vector are. The nearest item is a lenient judge: the length of an answer does not count. "
        "Intervals are 95%, over seeds and episodes.",
        draw=(plots.plot_rank_sweep, plots.plot_rank_sweep_outcomes),
        models=("triplet-2x5", "triplet-2x5-keep80"),
        episodes=1024,
        several_seeds=True,
    ),
    Question(
        "learned_structure",
        kinds.LearnedStructure,
        "Do linear transformers learn the weights that theory speaks of?",
        "Distances of trained and of untrained seeds to the sets in which theory finds minimisers, "
        "over the size of what there is: 0 is in the set. Below, for each model, its D, the "
        "nearest point of the set and the rest, a row for each seed. Signs, and turns of the "
        "empty arrows, are free; K, the map of a context to the answer, is not, so trust its "
        "distance first. Where L4 is next to 0 its shape is noise.",
        draw=(plots.plot_structure_distances,),
        draw_each=(plots.plot_learned_structure,),
        comparable=lambda each: each.data.attrs["d"],
        models=("triplet-2x5", "triplet-2x5-keep80"),
        one_layer=False,
        several_seeds=True,
    ),
    Question(
        "risk_landscape",
        kinds.RiskLandscape,
        "Is a linear transformer at a minimum, and what does it cost to leave it?",
        "The error of models whose weights are moved along the structured set, off it, and along "
        "symmetries, on the same episodes. Step 0 is the model; step 1 is as long as the "
        "nearest point of the set, whatever the direction. A second row is of dropped tokens, as "
        "in training. Circles are the risk of K in closed form. Thin lines are seeds and "
        "directions; bands are 95%, over seeds and episodes. Errors are heavy-tailed: compare "
        "points of a curve, not curves of other episodes.",
        draw_each=(plots.plot_risk_landscape,),
        models=("triplet-2x5-keep80",),
        episodes=2048,
        one_layer=False,
        several_seeds=True,
    ),
)

QUESTIONS = {question.name: question for question in _EVERY}
"""Every question by name; those that ask several seeds of linear transformers come last."""
