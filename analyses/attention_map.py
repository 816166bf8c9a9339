"""Which tokens does each head look at? `python analyses/attention_map.py` asks models that ship."""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """Attention from role to role, head by head, in contexts and in zero-shot prompts.

Example: python analyses/attention_map.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Which tokens does each head look at?",
    text="Each row is a head (2.3 is the third of the second block), each column a kind of "
    "token: own, of the example in which the looking token stands; previous, of the one "
    "before; earlier, of all before that. A row sums to 1. Contexts have 12 examples or "
    "what --examples says, and the mean is over all tokens of a role from the second "
    "example on. The lowest panels show the answer token of a prompt without examples, "
    "before and after the task vector is written into it.",
    figures=lambda results: [tvl.plots.plot_attention_map(results)],
)


def analyse(subject: Subject) -> tvl.AttentionMap:
    """The attention map of one model."""
    return tvl.analysis.attention_map(*subject.asked, *subject.episodes(), layer=subject.layer)


if __name__ == "__main__":
    with plain_errors():
        config = parse(Study, Study(), DESCRIPTION)
        conduct("attention_map", config, tvl.AttentionMap, analyse, PAGE)
