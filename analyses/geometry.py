"""How do vectors of different functions lie? `python analyses/geometry.py` asks those that ship."""

from __future__ import annotations

import numpy as np
from contexts import ContextStudy, read_vectors
from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Principal components and clusters of the task vectors of several functions.

Example: python analyses/geometry.py offset-vanilla offset-tvp --functions 100 --out figures"""


def analyse(subject: Subject) -> tvl.Geometry:
    """The geometry of one model."""
    generator = np.random.default_rng(subject.config.seed)
    vectors = read_vectors(subject)
    return tvl.analysis.geometry(vectors, layer=subject.layer, generator=generator)


SCRIPT = Script("geometry", tvl.Geometry, analyse, DESCRIPTION, ContextStudy())

if __name__ == "__main__":
    SCRIPT.main()
