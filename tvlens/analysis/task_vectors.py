"""Which vectors does a model make of its contexts?"""

from tvlens.analysis.shared.needs import CARRIER, ONE_MODEL, asks
from tvlens.results import TaskVectors
from tvlens.subjects import Subject


@asks(ONE_MODEL, CARRIER)
def task_vectors(subject: Subject, *, functions: int = 20, contexts: int = 50) -> TaskVectors:
    """The vectors at every layer and context length; geometry, decodability and disentanglement
    are read off the same ones.

    Args:
        subject: the model that is asked.
        functions: functions that vectors are read of. Where a task has few, some are drawn twice
            and count as one with more contexts.
        contexts: contexts of each function.
    """
    return subject.vectors(functions, contexts)
