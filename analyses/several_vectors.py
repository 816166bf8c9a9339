"""Do several vectors serve better than one, beside some examples?

`python analyses/several_vectors.py` asks models that ship.
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from study import Script, Study, Subject

import tvlens as tvl
from tvlens.prompts import carrier_of

DESCRIPTION = """Errors of prompts of 0 to 4 examples with one vector on the last carrier, and with
one on each: of several contexts, of one, or the same.

Example: python analyses/several_vectors.py linear-vanilla linear-tvp --out figures"""
CONTEXTS = 5
"""Of each function, and one more than the most examples beside vectors."""


@dataclass(frozen=True)
class VectorsStudy(Study):
    """Which models are asked, on which episodes, and where the answer goes."""

    layer: tyro.conf.Suppress[int | None] = None
    """Every layer is asked."""


def fits(run: tvl.Run) -> bool:
    """Whether each prompt has a carrier for each example and the query, and a layer for vectors."""
    format = run.experiment.format
    return format.first_length(carrier_of(format)) == 0 and run.model.n_layers > 1


def analyse(subject: Subject) -> tvl.SeveralVectors:
    """What several vectors do in one model."""
    model, task, format = subject.asked
    count = min(CONTEXTS, subject.shots)
    contexts, fresh = subject.contexts(subject.config.episodes, count)
    episodes = fresh[slice(None, None, count)]
    return tvl.analysis.several_vectors(model, task, format, episodes, contexts)


SCRIPT = Script("several_vectors", tvl.SeveralVectors, analyse, DESCRIPTION, VectorsStudy())

if __name__ == "__main__":
    SCRIPT.main()
