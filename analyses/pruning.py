"""What does a pruned context cost? `python analyses/pruning.py` asks the models that ship."""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """What is lost when, above a layer, only the tokens of the query are left.

What is gained in time and memory, analyses/benchmarks/pruning.py measures.

Example: python analyses/pruning.py sinusoid-vanilla sinusoid-tvp
Far beyond the contexts of training:
python analyses/pruning.py --examples 1024 --episodes 64 --out figures/long"""


@dataclass(frozen=True)
class PruningStudy(Study):
    """Which models are asked, on which episodes, and where the answer goes."""

    layer: tyro.conf.Suppress[int | None] = None
    """Every layer is asked."""


PAGE = Page(
    title="How much of the context can be dropped above a layer?",
    text="Up to a layer the model reads the whole context; above it only the tokens of the query "
    "go on and see only each other. Shown is how much of what the context gains is kept, at the "
    "longest context: 1 is all, 0 nothing. Beside it the same with the carrier's states of the "
    "full context, which saves memory and no time, and the task vector alone in a prompt without "
    "examples. Under each layer stands which share of the keys and values is still held. Bands "
    "are 95% by bootstrap over episodes.",
    figures=lambda results: [
        tvl.plots.plot_pruning(results),
        tvl.plots.plot_pruning_curve(results),
    ],
)


def analyse(subject: Subject) -> tvl.Pruning:
    """The result of one model."""
    return tvl.analysis.pruning(*subject.asked, *subject.episodes())


if __name__ == "__main__":
    with plain_errors():
        conduct(
            "pruning", parse(PruningStudy, PruningStudy(), DESCRIPTION), tvl.Pruning, analyse, PAGE
        )
