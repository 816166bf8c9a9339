"""Where the vectors of several models are read and written."""

from tvlens.subjects import Subject


def vector_layer(subject: Subject) -> int:
    """The layer that was asked for; if none was, that behind the first block, where the arrows of
    linear transformers hold the task.
    """
    return 1 if subject.asked_layer is None else subject.asked_layer
