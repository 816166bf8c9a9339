"""Can the task be read off vectors? `python analyses/decodability.py` asks models that ship."""

from __future__ import annotations

import numpy as np
from contexts import ContextStudy, read_vectors
from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """What probes read off task vectors, beside what the vectors steer.

Example: python analyses/decodability.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.Decodability:
    """What probes find in one model, and what its vectors steer."""
    generator = np.random.default_rng(subject.config.seed)
    found = tvl.analysis.decodability(
        read_vectors(subject), layer=subject.layer, generator=generator
    )
    untrained = subject.run.experiment.build_model(device=subject.run.model.W_E.device)
    locality = tvl.analysis.locality_map(
        *subject.asked, *subject.episodes(), untrained=untrained, generator=subject.generator
    )
    return found.with_recovery(locality)


SCRIPT = Script(
    "decodability", tvl.Decodability, analyse, DESCRIPTION, ContextStudy(functions=100, contexts=20)
)

if __name__ == "__main__":
    SCRIPT.main()
