"""How fast do models learn in context? `python analyses/icl_curve.py` asks those that ship."""

from __future__ import annotations

from study import Script, Subject

import tvlens as tvl

DESCRIPTION = """Errors against the number of examples: in context, and with one task vector.

Example: python analyses/icl_curve.py sinusoid-vanilla sinusoid-tvp --out figures"""


def analyse(subject: Subject) -> tvl.ICLCurve:
    """The curve of one model."""
    return tvl.analysis.icl_curve(*subject.asked, *subject.episodes(), layer=subject.layer)


SCRIPT = Script("icl_curve", tvl.ICLCurve, analyse, DESCRIPTION)

if __name__ == "__main__":
    SCRIPT.main()
