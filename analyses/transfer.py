"""Does a task vector serve elsewhere than where it was read? `python analyses/transfer.py` asks."""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Recovery with a vector that is read at one layer and written at another, or read
after one number of examples and written at the positions of another.

Example: python analyses/transfer.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.Transfer:
    """Where the vectors of one model serve."""
    return tvl.analysis.transfer(*subject.asked, *subject.episodes(), layer=subject.layer)


SCRIPT = Script("transfer", tvl.Transfer, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
