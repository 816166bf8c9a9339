"""Where does a model keep the task, how strongly, and does it need it there?"""

from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.shared.needs import CARRIER, ONE_MODEL, UNTRAINED, asks
from tvlens.prompts import PositionIds
from tvlens.results import LocalityMap
from tvlens.subjects import Subject


@asks(ONE_MODEL, CARRIER, UNTRAINED)
def locality_map(subject: Subject, *, position_ids: PositionIds | None = None) -> LocalityMap:
    """Task-vector prompting at every layer, role and context length, with controls.

    What the arrays mean is in `LocalityMap`; the scores follow from them.

    Args:
        subject: the model that is mapped.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    return measure_locality_map(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        untrained=subject.untrained_model,
        generator=subject.generator(),
        position_ids=position_ids,
    )
