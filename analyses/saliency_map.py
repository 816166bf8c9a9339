"""Along which attention edges does the context reach the answer?

`python analyses/saliency_map.py` asks models that ship.
"""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Attention times the gradient of the loss, between kinds of tokens.

Example: python analyses/saliency_map.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.SaliencyMap:
    """The saliency map of one model."""
    episodes, _ = subject.episodes()
    return tvl.analysis.saliency_map(*subject.asked, episodes)


SCRIPT = Script("saliency_map", tvl.SaliencyMap, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
