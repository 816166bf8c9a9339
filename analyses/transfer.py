"""Does a task vector serve elsewhere than where it was read? `python analyses/transfer.py` asks."""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """Recovery with a vector that is read at one layer and written at another, or read
after one number of examples and written at the positions of another.

Example: python analyses/transfer.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="Does a task vector serve elsewhere than where it was read?",
    text="Above: recovery with the vector of the longest context, read at one layer and written "
    "at another. Below: the vector after a number of examples, in a zero-shot prompt with the "
    "position ids of another number, at the layer reported. With rotary positions, or none, "
    "position ids make no difference. 1 is all that in-context learning gains, 0 nothing, below "
    "0 harm; intervals (hover) are 95% by bootstrap over episodes.",
    figures=lambda results: [tvl.plots.plot_transfer(results)],
)


def analyse(subject: Subject) -> tvl.Transfer:
    """Where the vectors of one model serve."""
    return tvl.analysis.transfer(*subject.asked, *subject.episodes(), layer=subject.layer)


if __name__ == "__main__":
    with plain_errors():
        conduct("transfer", parse(Study, Study(), DESCRIPTION), tvl.Transfer, analyse, PAGE)
