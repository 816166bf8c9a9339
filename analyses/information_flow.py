"""Where are examples put together, and where is the vector made of them?

`python analyses/information_flow.py` asks models that ship.
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from study import Script, Study, Subject

import tvlens as tvl

DESCRIPTION = """Saliency from each y to its own example, and from the last carrier to each y.

Example: python analyses/information_flow.py offset-vanilla offset-tvp --out figures"""


@dataclass(frozen=True)
class FlowStudy(Study):
    """Which models are asked, on which episodes, and where the answer goes."""

    layer: tyro.conf.Suppress[int | None] = None
    """Every layer is asked."""


def analyse(subject: Subject) -> tvl.InformationFlow:
    """The result of one model."""
    untrained = subject.run.experiment.build_model(device=subject.run.model.W_E.device)
    return tvl.analysis.information_flow(*subject.asked, *subject.episodes(), untrained=untrained)


SCRIPT = Script("information_flow", tvl.InformationFlow, analyse, DESCRIPTION, FlowStudy())

if __name__ == "__main__":
    SCRIPT.main()
