"""Context or vector: which does a model follow? `python analyses/conflict.py` sets them at odds."""

from __future__ import annotations

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """The conflicting-task test: a full context of one task, the vector of another; and
blends of two vectors without a context.

Example: python analyses/conflict.py offset-vanilla offset-tvp --out figures"""

PAGE = Page(
    title="Context or vector: which task does the answer follow?",
    text="Above: alpha of the answer when the context shows task A and the carrier holds the "
    "vector of task B: 0 follows the context, 1 the vector. An answer that knows neither is at "
    "1/2, so look at the errors against both tasks (middle). Below: alpha of zero-shot prompts "
    "that are given (1 - share) A + share B. Bands are 95% by bootstrap over pairs of functions.",
    figures=lambda results: [tvl.plots.plot_conflict(results)],
)


def analyse(subject: Subject) -> tvl.Conflict:
    """Whom one model follows."""
    model, task, format = subject.asked
    both, queries = subject.contexts(subject.config.episodes, 2)
    return tvl.analysis.conflict(
        model,
        task,
        format,
        both[::2],
        both[1::2],
        queries[::2],
        layer=subject.layer,
        generator=subject.generator,
    )


if __name__ == "__main__":
    with plain_errors():
        conduct("conflict", parse(Study, Study(), DESCRIPTION), tvl.Conflict, analyse, PAGE)
