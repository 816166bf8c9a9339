"""Which symbols do vectors stand for? `python analyses/vocabulary.py` asks models that ship."""

from __future__ import annotations

import torch
from study import Script, Study, Subject

import tvlens as tvl
from tvlens.shifts.base import are_symbols

DESCRIPTION = """What the final norm and the unembedding make of task vectors; for tasks on symbols.

Example: python analyses/vocabulary.py offset-vanilla offset-tvp --out figures"""


def analyse(subject: Subject) -> tvl.Vocabulary:
    """The vocabulary of one model."""
    return tvl.analysis.vocabulary(
        *subject.asked,
        *subject.episodes(),
        layer=subject.layer,
        untrained=subject.run.experiment.build_model(device=subject.run.model.W_E.device),
    )


def is_symbolic(run: tvl.Run) -> bool:
    """Whether a model's task is on symbols, so that it can be asked."""
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(run.experiment.task, 2, 2, generator=generator)
    return are_symbols(episodes.x) and are_symbols(episodes.target)


SCRIPT = Script(
    "vocabulary",
    tvl.Vocabulary,
    analyse,
    DESCRIPTION,
    Study(models=("offset-vanilla", "offset-tvp")),
)

if __name__ == "__main__":
    SCRIPT.main()
