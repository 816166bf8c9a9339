"""Where in a context does the residual stream know which function is asked?

`python analyses/patch_map.py` asks models that ship.
"""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """What patching the residual stream from a clean into a corrupted context restores.

Example: python analyses/patch_map.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.PatchMap:
    """The patch map of one model."""
    episodes, _ = subject.episodes()
    task = subject.run.experiment.task
    corrupted = tvl.relabelled(task, episodes, generator=subject.generator)
    return tvl.analysis.patch_map(*subject.asked, episodes, corrupted)


SCRIPT = Script("patch_map", tvl.PatchMap, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
