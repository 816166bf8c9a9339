"""Does a task vector hold the task and nothing else? `python analyses/disentanglement.py` asks."""

from __future__ import annotations

from dataclasses import dataclass

from command_line import parse, plain_errors
from study import Page, Study, Subject, conduct

import tvlens as tvl

DESCRIPTION = """What a task vector holds besides the task, and what that costs, at every layer.

Example: python analyses/disentanglement.py linear-arrow-vanilla linear-arrow-tvp --contexts 16"""

PAGE = Page(
    title="Does the task vector hold the task and nothing else?",
    text="Above: recovery with the vectors of single contexts and with their mean over contexts of "
    "one function; what the mean gains was in the way. Middle: held-out R^2 of ridge regressions "
    "from the vector to the example before the carrier, the number of examples, and the query; "
    "dotted after shuffling among contexts of one function. Below: the share of the vectors' "
    "variance that lies within functions. Bands are 95% by bootstrap over functions.",
    figures=lambda results: [tvl.plots.plot_disentanglement(results)],
)


@dataclass(frozen=True)
class Contexts(Study):
    """Which models are asked, on which contexts, and where the answer goes."""

    episodes: int = 1024
    """Contexts in all; a share of them is of the same function."""
    contexts: int = 8
    """Contexts of each function."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contexts < 2 or self.episodes // self.contexts < 10:
            raise tvl.InputError(
                f"--contexts {self.contexts} of --episodes {self.episodes} leave "
                f"{self.episodes // max(self.contexts, 1)} functions; give at least 2 contexts of "
                "each of 10 functions."
            )


def analyse(subject: Subject) -> tvl.Disentanglement:
    """What the vectors of one model hold."""
    config, (model, task, format) = subject.config, subject.asked
    assert isinstance(config, Contexts)
    functions = config.episodes // config.contexts
    episodes, queries = subject.contexts(functions, config.contexts)
    vectors = tvl.analysis.task_vectors(model, task, format, episodes)
    return tvl.analysis.disentanglement(
        model,
        task,
        format,
        episodes,
        queries,
        vectors,
        layer=subject.layer,
        generator=subject.generator,
    )


if __name__ == "__main__":
    with plain_errors():
        config = parse(Contexts, Contexts(), DESCRIPTION)
        conduct("disentanglement", config, tvl.Disentanglement, analyse, PAGE)
