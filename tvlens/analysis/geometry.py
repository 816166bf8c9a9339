"""How do the task vectors of different functions lie to each other?"""

import numpy as np

from tvlens.analysis.shared.clusters import measure_geometry
from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, asks
from tvlens.results import Geometry
from tvlens.subjects import Subject


@asks(ONE_MODEL, CARRIER, LAYER)
def geometry(subject: Subject, *, functions: int = 20, contexts: int = 50) -> Geometry:
    """Principal components and clusters of task vectors at every layer.

    What the arrays mean is in `Geometry`; all of it is computed with the true functions and, as a
    control, with functions shuffled among the episodes.

    Args:
        subject: the model that is asked.
        functions: functions that vectors are read of. Where a task has few, some are drawn twice
            and count as one with more contexts.
        contexts: contexts of each function.
    """
    return measure_geometry(
        subject.vectors(functions, contexts),
        layer=subject.layer,
        generator=np.random.default_rng(subject.test.seed),
    )
