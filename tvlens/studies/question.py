"""What is asked of a model: an analysis, how it is asked, and how its answer is shown."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, TypeVar, get_type_hints

import pandas as pd
import plotly.graph_objects as go

from tvlens.base.errors import InputError
from tvlens.plots import Section
from tvlens.results import Result, scores_table, side_by_side, what_was_asked

AnyResult = TypeVar("AnyResult", bound=Result)
Results = Mapping[str, Any]
"""Results of one kind by the name of the model."""
SIDE_BY_SIDE = 4
"""Models that a figure has room for."""


@dataclass(frozen=True)
class Option:
    """A keyword of an analysis that a user may set."""

    type: Any
    default: Any


@dataclass(frozen=True)
class Question:
    """Ties an analysis to its figures, its table and its words.

    Commands, reports, the gallery and `tvlens.study` are made of these.
    """

    name: str
    """That of the analysis, and of the files with its answer."""
    result: type[Result]
    """The kind of result that answers."""
    title: str
    """The question, in words."""
    reading: str
    """How to read the figures."""
    draw: tuple[Callable[[Results], go.Figure], ...] = ()
    """The figures of models side by side."""
    comparable: Callable[[Any], Hashable] = lambda result: tuple(
        result.data.attrs.get(each) for each in ("family", "task", "format")
    )
    """Models share figures where this is the same for their results."""
    draw_pairs: tuple[Callable[[Results], go.Figure], ...] = ()
    """Figures that compare, where there are at least two models."""
    draw_joined: tuple[Callable[[Any], go.Figure], ...] = ()
    """Figures of the trainings of all models as one result, `result.together`."""
    draw_each: tuple[Callable[[Any], go.Figure], ...] = ()
    """Figures of a single model."""
    compare: Callable[[Results], pd.DataFrame] | None = None
    """A table of differences between models."""
    table: Callable[[Results], pd.DataFrame] = side_by_side
    """The scores to read."""
    version: int = 1
    """Raised when the same question gets another answer than before; old answers are then void."""
    models: tuple[str, ...] = ("linear-vanilla", "linear-tvp")
    """What a command asks if no models are named; none if it needs trainings of its own."""
    episodes: int = 512
    """How many test episodes a command draws."""
    examples: int | None = None
    """Their longest context; the one of the model's training if None."""
    one_layer: bool = True
    """Whether vectors are read and written at one layer; if not, every layer is asked."""
    several_seeds: bool = False
    """Whether all seeds of a model are asked together."""

    @property
    def analysis(self) -> Callable[..., Result]:
        """The function that answers."""
        # It loads PyTorch, which takes seconds, and neither a page nor --help needs it.
        from tvlens import analysis

        return getattr(analysis, self.name)

    @property
    def options(self) -> dict[str, Option]:
        """What can be set, by name: the keywords of the analysis."""
        hints = get_type_hints(self.analysis)
        return {
            name: Option(hints[name], each.default)
            for name, each in signature(self.analysis).parameters.items()
            if each.kind is Parameter.KEYWORD_ONLY
        }

    def figures(self, results: Results) -> list[go.Figure]:
        """All figures of some models."""
        drawn = []
        for group in groups(results, self.comparable):
            drawn += [plot(some) for some in few_at_a_time(group) for plot in self.draw]
            (first, reference), *others = group.items()
            for some in few_at_a_time(dict(others)):
                drawn += [plot({first: reference, **some}) for plot in self.draw_pairs]
            for name, each in group.items():
                drawn += [plot(each).update_layout(title=name) for plot in self.draw_each]
            if self.draw_joined:
                drawn += [plot(each) for each in _joined(group) for plot in self.draw_joined]
        return drawn

    def section(self, results: Results) -> Section:
        """The answers of some models, as a part of a page about several questions."""
        return Section(
            self.title,
            self.figures(results),
            side_by_side(results),
            text=self.reading,
            values=scores_table(results),
            folded=True,
            notes=what_was_asked(results),
        )


def groups(results: Mapping[str, AnyResult], key: Callable[[AnyResult], Hashable]) -> list[Results]:
    """The results, those together of which the key is the same."""
    together: dict[Hashable, dict[str, AnyResult]] = {}
    for name, each in results.items():
        together.setdefault(key(each), {})[name] = each
    return list(together.values())


def _joined(results: Results) -> list[Any]:
    """All as one result, or each alone where two are of one kind, which no figure tells apart."""
    alone = list(results.values())
    try:
        return [type(alone[0]).together(alone)]
    except InputError:
        return alone


def few_at_a_time(results: Results) -> list[Results]:
    """Results that one figure has room for beside each other."""
    names = list(results)
    starts = range(0, len(names), SIDE_BY_SIDE)
    return [{name: results[name] for name in names[i : i + SIDE_BY_SIDE]} for i in starts]
