"""Does a task vector hold the task and nothing else? `python analyses/disentanglement.py` asks."""

from __future__ import annotations

from dataclasses import dataclass

from study import Script, Study, Subject

import tvlens as tvl

DESCRIPTION = """What a task vector holds besides the task, and what that costs, at every layer.

Example: python analyses/disentanglement.py linear-arrow-vanilla linear-arrow-tvp --contexts 16"""


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


SCRIPT = Script("disentanglement", tvl.Disentanglement, analyse, DESCRIPTION, Contexts())

if __name__ == "__main__":
    SCRIPT.main()
