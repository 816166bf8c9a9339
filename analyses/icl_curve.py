"""How fast do models learn in context? `python analyses/icl_curve.py` asks those that ship."""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """Errors against the number of examples: in context, and with one task vector.

Example: python analyses/icl_curve.py sinusoid-vanilla sinusoid-tvp --out figures"""

PAGE = Page(
    title="What the context gives, and what one vector keeps",
    text="The error of the answer after a number of examples, for the full context, for a prompt "
    "without examples that is given the task vector, for the same prompt untouched, and for the "
    "best predictor there is. 0 is right, about 1 is knowing nothing. Bands are 95% by bootstrap "
    "over episodes.",
    figures=lambda curves: [tvl.plots.plot_icl_curve(curves)],
)


def analyse(subject: Subject) -> tvl.ICLCurve:
    """The curve of one model."""
    return tvl.analysis.icl_curve(*subject.asked, *subject.episodes(), layer=subject.layer)


if __name__ == "__main__":
    with plain_errors():
        conduct("icl_curve", parse(Study, Study(), DESCRIPTION), tvl.ICLCurve, analyse, PAGE)
