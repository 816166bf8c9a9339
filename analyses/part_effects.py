"""Which heads and MLPs write the task vector, and which read it?

`python analyses/part_effects.py` asks models that ship.
"""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """What is lost without a head or an MLP, and what it restores.

Example: python analyses/part_effects.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Which heads and MLPs write the task vector, and which read it?",
    text="Each row is a head (2.3 is the third of the second block), all heads of a block, or an "
    "MLP. The first three columns are the recovery lost when it puts out its mean over "
    "episodes: at the carrier while the vector is read, in the whole context, or at the "
    "answer token of the prompt that the vector is written into. The fourth is the gain of "
    "in-context learning lost when it does so in the whole context. The others are the "
    "share of the right answer restored in a context with the labels of another function, "
    "when the part puts out what it does in the right context, and its mean as a control. 1 "
    "is everything; numbers stand where q < 0.05.",
    figures=lambda results: [tvl.plots.plot_part_effects(results)],
)


def analyse(subject: Subject) -> tvl.PartEffects:
    """What the parts do of one model."""
    episodes, queries = subject.episodes()
    task = subject.run.experiment.task
    corrupted = tvl.relabelled(task, episodes, generator=subject.generator)
    asked = (*subject.asked, episodes, queries, corrupted)
    return tvl.analysis.part_effects(*asked, layer=subject.layer)


if __name__ == "__main__":
    with plain_errors():
        config = parse(Study, Study(episodes=256), DESCRIPTION)
        conduct("part_effects", config, tvl.PartEffects, analyse, PAGE)
