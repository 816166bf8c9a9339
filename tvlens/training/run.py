"""A finished training, and what it is asked as."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from torch import nn

from tvlens.base.errors import InputError
from tvlens.results import History
from tvlens.subjects import Subject, Test, Training
from tvlens.training.experiment import Experiment

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Run(Generic[Model]):
    """A finished training, of one seed."""

    experiment: Experiment
    model: Model
    history: History
    provenance: dict[str, Any]
    snapshots: Callable[[], Iterator[tuple[int, Model]]] | None = None
    """The models along the training, with the number of steps done; None if none were kept."""

    def subject(
        self,
        *,
        episodes: int = Test.episodes,
        examples: int | None = None,
        layer: int | None = None,
        seed: int = Test.seed,
        name: str = "",
    ) -> Subject:
        """The run as a subject, tested on what it was trained for.

        Args:
            episodes: that it is tested on.
            examples: of the longest context; as in training if None.
            layer: where vectors are read and written; chosen if None, see `Subject.layer`.
            seed: of the test episodes.
            name: what tables and figures call it.
        """
        return seeds_subject(
            [self], episodes=episodes, examples=examples, layer=layer, seed=seed, name=name
        )


def seeds_subject(
    runs: Sequence[Run],
    *,
    episodes: int = Test.episodes,
    examples: int | None = None,
    layer: int | None = None,
    seed: int = Test.seed,
    name: str = "",
) -> Subject:
    """Runs that differ in nothing but their seed as one subject; see `Run.subject`.

    Raises:
        InputError: there are none, or they differ in more.
    """
    if not runs:
        raise InputError("A subject needs at least one run, got none.")
    asked = runs[0].experiment
    for run in runs:
        if replace(run.experiment, seed=asked.seed) != asked:
            raise InputError(
                "Runs of one subject differ in nothing but their seed; these were trained by "
                f"{asked} and {run.experiment}. Make a subject of each: `run.subject()`."
            )
    train, device = asked.train, next(runs[0].model.parameters()).device
    return Subject(
        tuple(run.model for run in runs),
        asked.task,
        asked.format,
        untrained=tuple(run.experiment.build_model(device=device) for run in runs),
        asked_layer=layer,
        test=Test(episodes, train.examples if examples is None else examples, seed),
        training=Training(
            asked.task, asked.format, train.examples, asked.objective.prescribed_layer
        ),
        name=name,
        snapshots=runs[0].snapshots if len(runs) == 1 else None,
    )
