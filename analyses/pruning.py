"""What does a pruned context cost? `python analyses/pruning.py` asks the models that ship."""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from study import Script, Study, Subject

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


def analyse(subject: Subject) -> tvl.Pruning:
    """The result of one model."""
    return tvl.analysis.pruning(*subject.asked, *subject.episodes())


SCRIPT = Script("pruning", tvl.Pruning, analyse, DESCRIPTION, PruningStudy())

if __name__ == "__main__":
    SCRIPT.main()
