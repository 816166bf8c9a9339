"""Along which attention edges does the context reach the answer?

`python analyses/saliency_map.py` asks models that ship.
"""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """Attention times the gradient of the loss, between kinds of tokens.

Example: python analyses/saliency_map.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Along which attention edges does the context reach the answer?",
    text="The saliency of an attention edge is the sum over heads of |attention times the "
    "gradient of the last answer's loss with respect to it|. Cells are its sum over all "
    "tokens of a kind, as a share of the saliency of all blocks: z, x, y are the tokens of "
    "the examples, last z and last x those of the query.",
    figures=lambda results: [tvl.plots.plot_saliency_map(results)],
)


def analyse(subject: Subject) -> tvl.SaliencyMap:
    """The saliency map of one model."""
    episodes, _ = subject.episodes()
    return tvl.analysis.saliency_map(*subject.asked, episodes)


if __name__ == "__main__":
    with plain_errors():
        config = parse(Study, Study(), DESCRIPTION)
        conduct("saliency_map", config, tvl.SaliencyMap, analyse, PAGE)
