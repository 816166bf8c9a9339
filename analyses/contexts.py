"""What studies of task vectors share: several contexts of each of some functions."""

from __future__ import annotations

from dataclasses import dataclass

from study import Study, Subject

import tvlens as tvl


@dataclass(frozen=True)
class ContextStudy(Study):
    """Which models are asked, on how many contexts of how many functions."""

    functions: int = 20
    """Functions that vectors are read of. Where a task has few, some are drawn twice and count as
    one with more contexts."""
    contexts: int = 50
    """Contexts of each function."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.functions < 2 or self.contexts < 2:
            raise tvl.InputError(
                f"--functions {self.functions} --contexts {self.contexts} leave nothing to "
                "compare; give at least 2 of each."
            )


def sample_contexts(subject: Subject) -> tvl.Episodes:
    """The same contexts for all models of a task."""
    config = subject.config
    assert isinstance(config, ContextStudy)
    return subject.contexts(config.functions, config.contexts)[0]


def read_vectors(subject: Subject) -> tvl.TaskVectors:
    """A model's vectors of these contexts."""
    return tvl.analysis.task_vectors(*subject.asked, sample_contexts(subject))
