"""Where the vectors of several models are read and written."""

from tvlens.subjects import Subject


def vector_layer(subject: Subject) -> int:
    """The layer that was asked for, or prescribed in training; if none was, that behind the first
    block, where the arrows of linear transformers hold the task.
    """
    prescribed = subject.training.tvp_layer if subject.training is not None else None
    known = (each for each in (subject.asked_layer, prescribed) if each is not None)
    return next(known, 1)
