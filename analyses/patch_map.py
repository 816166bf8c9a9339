"""Where in a context does the residual stream know which function is asked?

`python analyses/patch_map.py` asks models that ship.
"""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """What patching the residual stream from a clean into a corrupted context restores.

Example: python analyses/patch_map.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Where does a context know which function is asked?",
    text="The labels of a context are exchanged for those of another function, and at one layer "
    "and one kind of token the residual stream is put back to what it was: at the last "
    "token of a role, or at all. Cells are the share of the right answer that this "
    "restores; 1 is all. Below, as a control, the mean over functions is put there instead: "
    "to forget the wrong function brings some of the answer back without knowing the right "
    "one.",
    figures=lambda results: [tvl.plots.plot_patch_map(results)],
)


def analyse(subject: Subject) -> tvl.PatchMap:
    """The patch map of one model."""
    episodes, _ = subject.episodes()
    task = subject.run.experiment.task
    corrupted = tvl.relabelled(task, episodes, generator=subject.generator)
    return tvl.analysis.patch_map(*subject.asked, episodes, corrupted)


if __name__ == "__main__":
    with plain_errors():
        config = parse(Study, Study(), DESCRIPTION)
        conduct("patch_map", config, tvl.PatchMap, analyse, PAGE)
