"""What do the heads and MLPs of a model add to its task vector?

`python analyses/contributions.py` asks models that ship.
"""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """The share of each head and MLP in the task vector.

Example: python analyses/contributions.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.Contributions:
    """What adds up to the vector of one model."""
    episodes, _ = subject.episodes()
    return tvl.analysis.contributions(*subject.asked, episodes, layer=subject.layer)


SCRIPT = Script("contributions", tvl.Contributions, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
