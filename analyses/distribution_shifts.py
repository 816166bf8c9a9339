"""What if test data come from elsewhere? `python analyses/distribution_shifts.py` asks models."""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Errors under shifts of inputs, functions and contexts, and how models differ.

Example: python analyses/distribution_shifts.py offset-vanilla offset-tvp --episodes 2048"""


def analyse(subject: Subject) -> tvl.DistributionShifts:
    """The errors of one model."""
    return tvl.analysis.distribution_shifts(
        *subject.asked, *subject.episodes(), layer=subject.layer, generator=subject.generator
    )


SCRIPT = Script("distribution_shifts", tvl.DistributionShifts, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
