"""Which tokens does each head look at? `python analyses/attention_map.py` asks models that ship."""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Attention from role to role, head by head, in contexts and in zero-shot prompts.

Example: python analyses/attention_map.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.AttentionMap:
    """The attention map of one model."""
    return tvl.analysis.attention_map(*subject.asked, *subject.episodes(), layer=subject.layer)


SCRIPT = Script("attention_map", tvl.AttentionMap, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
