"""What one kind of result answers, and how its figures are made."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go

from tvlens.results import Result

AnyResult = TypeVar("AnyResult", bound=Result)
Results = Mapping[str, Any]
"""Results of one kind by the name of the model."""
SIDE_BY_SIDE = 4
"""Models that a figure has room for."""


@dataclass(frozen=True)
class Question:
    """What one kind of result answers."""

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
    draw_each: tuple[Callable[[Any], go.Figure], ...] = ()
    """Figures of a single model."""
    compare: Callable[[Results], pd.DataFrame] | None = None
    """A table of differences between models."""

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
        return drawn


def groups(results: Mapping[str, AnyResult], key: Callable[[AnyResult], Hashable]) -> list[Results]:
    """The results, those together of which the key is the same."""
    together: dict[Hashable, dict[str, AnyResult]] = {}
    for name, each in results.items():
        together.setdefault(key(each), {})[name] = each
    return list(together.values())


def few_at_a_time(results: Results) -> list[Results]:
    """Results that one figure has room for beside each other."""
    names = list(results)
    starts = range(0, len(names), SIDE_BY_SIDE)
    return [{name: results[name] for name in names[i : i + SIDE_BY_SIDE]} for i in starts]
