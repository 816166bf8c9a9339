"""Named experiments with linear transformers: seconds to a minute each on a CPU.

A name is format-layersxexamples[-variants]: `triplet-2x5`, `pairwise-3x10`, `triplet-2x5-keep80`.
Maps are of R^4, unless a variant says another d: `triplet-2x8-d8-keep80`.
"""

from dataclasses import replace

from tvlens.models.linear.config import (
    AttentionWeights,
    DropoutKind,
    FirstLayer,
    LinearConfig,
    TokenDropout,
)
from tvlens.prompts import INSEPARABLE, PAIRWISE, SINGLE, TRIPLET, ColumnFormat
from tvlens.tasks import MatrixRegression
from tvlens.training.experiment import Experiment, TrainConfig
from tvlens.training.optimization import Adam
from tvlens.training.query_objective import QueryObjective, Sparsity

LINEAR_TRAINING = TrainConfig(
    steps=5000,
    batch=500,
    examples=5,
    # A third of this rate ends in worse minima from some seeds.
    optimizer=Adam(learning_rate=0.03, weight_decay=0.05),
    clip_norm=10.0,
)
"""Unlike the code of Dong et al. (arXiv 2506.09048) it adds no random signs of examples, which the
paper does not mention and which change next to nothing."""

DEPTHS = {
    SINGLE: (1, 2, 3),
    PAIRWISE: (2, 3),
    TRIPLET: (2, 3),
    INSEPARABLE: (2, 3),
}
"""Layers that a format is tried with: with separate tokens, one layer learns nothing. With three,
seeds end in minima of different depth, the worst of which are no better than two layers."""
EXAMPLES = (5, 10)
KEEPS = (0.6, 0.8, 0.9)
"""Probabilities that a token stays in training with dropout."""
OTHER_DROPOUT = {
    "as-written": DropoutKind.OUTPUT,
    "as-code": DropoutKind.ATTENTION_INPUT,
}
"""What else can be meant by dropping tokens: the equation of Dong et al. (arXiv 2506.09048), and
their code. The presets without an ending follow their proofs."""
CORRELATED = tuple(tuple(0.5 ** abs(i - j) for j in range(4)) for i in range(4))
"""A covariance of x: neighbouring coordinates are alike."""
SPARSITY = Sparsity(2.5e-4)
"""Of the variants whose D is looked at: without, entries that cancel each other grow."""


def linear_experiment(format: ColumnFormat, n_layers: int, examples: int) -> Experiment:
    """The plain experiment of a format, depth and number of examples."""
    train = replace(LINEAR_TRAINING, examples=examples)
    inseparable = format == INSEPARABLE
    first = FirstLayer.LIFTS if inseparable else FirstLayer.FULL
    model = LinearConfig(n_layers, first_layer=first)
    return Experiment(MatrixRegression(), format, model, QueryObjective(), train)


def with_dropout(experiment: Experiment, keep: float, kind: DropoutKind) -> Experiment:
    """The same, trained to do without tokens."""
    model = replace(experiment.model, dropout=TokenDropout(keep, kind))
    return sparse(replace(experiment, model=model))


def sparse(experiment: Experiment) -> Experiment:
    """The same, with a cost of weights."""
    return replace(experiment, objective=QueryObjective(SPARSITY))


def linear_presets() -> dict[str, Experiment]:
    """Every preset of linear transformers by name."""
    pairwise, triplet = PAIRWISE, TRIPLET
    presets = {
        f"{format.name}-{n_layers}x{examples}": linear_experiment(format, n_layers, examples)
        for format, depths in DEPTHS.items()
        for n_layers in depths
        for examples in EXAMPLES
    }
    for n_layers in DEPTHS[triplet]:
        presets[f"triplet-{n_layers}x1"] = linear_experiment(triplet, n_layers, 1)
    for format in (pairwise, triplet):
        plain = presets[f"{format.name}-2x5"]
        presets[f"{format.name}-2x5-sparse"] = sparse(plain)
        for keep in KEEPS:
            dropped = with_dropout(plain, keep, DropoutKind.INPUT)
            presets[f"{format.name}-2x5-keep{round(100 * keep)}"] = dropped
        for ending, kind in OTHER_DROPOUT.items():
            presets[f"{format.name}-2x5-keep80-{ending}"] = with_dropout(plain, 0.8, kind)
    deep, plain = presets["triplet-3x5"], presets["triplet-2x5"]
    presets["triplet-3x5-keep80"] = with_dropout(deep, 0.8, DropoutKind.INPUT)
    wide = replace(linear_experiment(triplet, 2, 8), task=MatrixRegression(8))
    presets["triplet-2x8-d8-keep80"] = with_dropout(wide, 0.8, DropoutKind.INPUT)
    causal = replace(plain, model=replace(plain.model, causal=True))
    presets["triplet-2x5-keep80-causal"] = with_dropout(causal, 0.8, DropoutKind.INPUT)
    blind = replace(plain, model=replace(plain.model, first_layer=FirstLayer.BLIND))
    presets["triplet-2x5-blind"] = blind
    matrices = replace(plain.model, weights=AttentionWeights.MATRICES)
    presets["triplet-2x5-matrices"] = replace(plain, model=matrices)
    pairs = replace(presets["pairwise-2x5"], task=MatrixRegression(4, CORRELATED), model=matrices)
    presets["pairwise-2x5-correlated"] = pairs
    return presets
