"""Which heads and MLPs write the task vector, and which read it?

`python analyses/part_effects.py` asks models that ship.
"""

from __future__ import annotations

from study import Script, Study, Subject

import tvlens as tvl

DESCRIPTION = """What is lost without a head or an MLP, and what it restores.

Example: python analyses/part_effects.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.PartEffects:
    """What the parts do of one model."""
    episodes, queries = subject.episodes()
    task = subject.run.experiment.task
    corrupted = tvl.relabelled(task, episodes, generator=subject.generator)
    asked = (*subject.asked, episodes, queries, corrupted)
    return tvl.analysis.part_effects(*asked, layer=subject.layer)


SCRIPT = Script("part_effects", tvl.PartEffects, analyse, DESCRIPTION, Study(episodes=256))

if __name__ == "__main__":
    SCRIPT.main()
