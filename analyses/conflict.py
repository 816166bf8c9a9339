"""Context or vector: which does a model follow? `python analyses/conflict.py` sets them at odds."""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """The conflicting-task test: a full context of one task, the vector of another; and
blends of two vectors without a context.

Example: python analyses/conflict.py offset-vanilla offset-tvp --out figures"""


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


SCRIPT = Script("conflict", tvl.Conflict, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
