"""How many items of a map does one vector serve, and what are the wrong answers?

`python analyses/bijections.py` asks models that ship.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import tyro
from study import Script, Study, Subject

import tvlens as tvl
from tvlens.tasks import Bijections, Direction, MapKind, Relations, SymbolMaps

DESCRIPTION = """Answers in context and with one task vector, by the kind of map.

Asks models that were trained on maps between symbols. Maps of every kind are asked, whatever the
training had.

Example: python analyses/bijections.py bijections-vanilla --episodes 4096 --out figures"""

SIZES = {Direction.FORWARD: 4, Direction.INVERSE: 2, Direction.BOTH: 3, Direction.COPY: 2}
"""The most pairs that are asked, in each direction; each number of pairs up to there is."""


@dataclass(frozen=True)
class BijectionStudy(Study):
    """Which models are asked, on which episodes, and where the answer goes."""

    layer: tyro.conf.Suppress[int | None] = None
    """Every layer is asked."""


def analyse(subject: Subject) -> tvl.BijectionAnswers:
    """The answers of one model."""
    model, task, format = subject.asked
    if not isinstance(task, SymbolMaps):
        raise tvl.InputError(
            f"{subject.name} was trained on {type(task).__name__}, whose functions are no maps "
            "between symbols; ask a model of Bijections or Relations."
        )
    task = every_kind(task)
    episodes, queries = subject.episodes(task)
    return tvl.analysis.bijections(
        model, task, format, episodes, queries, generator=subject.generator
    )


def is_mapped(run: tvl.Run) -> bool:
    """Whether a model was trained on maps between symbols."""
    return isinstance(run.experiment.task, SymbolMaps)


def every_kind(task: SymbolMaps) -> SymbolMaps:
    """The same task with maps of every kind."""
    if isinstance(task, Relations):
        return replace(task, directions=(Direction.FORWARD, Direction.INVERSE, Direction.BOTH))
    if isinstance(task, Bijections):
        sizes = [(direction, n + 1) for direction, most in SIZES.items() for n in range(most)]
        return replace(task, mixture=tuple(MapKind(*each) for each in sizes))
    return task


SCRIPT = Script(
    "bijections",
    tvl.BijectionAnswers,
    analyse,
    DESCRIPTION,
    BijectionStudy(
        models=("bijections-vanilla", "relations-vanilla", "relations-tvp"),
        episodes=8192,
        examples=8,
    ),
    table=tvl.results.accuracy_table,
)

if __name__ == "__main__":
    SCRIPT.main()
