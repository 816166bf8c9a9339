"""What is put to a question: a model, and how it is tested."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.base.errors import InputError
from tvlens.interventions.baselines import best_layer
from tvlens.interventions.patching import check_layer
from tvlens.interventions.vectors import read_task_vectors
from tvlens.prompts import Episodes, Format, Role, carrier_of
from tvlens.results import TaskVectors
from tvlens.tasks import Task, fresh_queries, sample_contexts, sample_episodes

DEVELOPMENT_SEED = 1
"""Added to the seed of the test episodes for those that a layer is chosen on."""
CONTROL_SEED = 2
"""Added to it for all else that is random: with the same seed, a random control would be made
of the very numbers that the functions are made of."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Test:
    """How test episodes are drawn."""

    episodes: int = 512
    """Episodes that a model is tested on."""
    examples: int = 12
    """Longest context."""
    seed: int = 20_250_109
    """Seed of the episodes, which no training uses."""

    __test__ = False  # No test of pytest.

    def __post_init__(self) -> None:
        if self.episodes < 10:
            raise InputError(f"{self.episodes} episodes are too few for intervals; give 10.")
        if self.examples < 1:
            raise InputError(f"{self.examples} examples are too few; give at least 1.")

    @property
    def shots(self) -> int:
        """Examples of an episode: those of the longest context, and the one that is asked."""
        return self.examples + 1


@dataclass(frozen=True)
class Training:
    """What a model was trained for, as far as an analysis asks."""

    task: Task
    format: Format
    examples: int
    """Longest context."""
    tvp_layer: int | None = None
    """Where the task vector was prescribed; None in training without a TVP loss."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to be asked, or several that differ in their seed, and how they are tested.

    `run.subject()` makes one of a training. What is expensive and asked by several analyses, the
    chosen layer and the task vectors, is computed once.
    """

    models: tuple[HookedRootModule, ...]
    """One model, or one for each seed."""
    task: Task
    """What they are tested on."""
    format: Format
    """How examples become prompts."""
    untrained: tuple[HookedRootModule, ...] = ()
    """The same models before training, for controls; empty if there are none."""
    asked_layer: int | None = None
    """Where vectors are read and written; chosen if None, see `layer`."""
    test: Test = Test()
    """How test episodes are drawn."""
    training: Training | None = None
    """What the models were trained for; None if that is not known."""
    name: str = ""
    """What tables and figures call it."""
    snapshots: Callable[[], Iterator[tuple[int, HookedRootModule]]] | None = None
    """The models along the training, with the number of steps done, loaded as they are asked for;
    None if none were kept."""
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("A subject needs at least one model.")
        if self.untrained and len(self.untrained) != len(self.models):
            raise InputError(
                f"Expected an untrained model for each model, got {len(self.untrained)} for "
                f"{len(self.models)}."
            )
        if self.asked_layer is not None:
            check_layer(self.models[0], self.asked_layer)

    @property
    def model(self) -> HookedRootModule:
        """The one model.

        Raises:
            InputError: there are several.
        """
        return self._one(self.models)

    @property
    def untrained_model(self) -> HookedRootModule:
        """The one model before training.

        Raises:
            InputError: it is not there, or there are several models.
        """
        self._one(self.models)
        if not self.untrained:
            raise InputError(
                "This asks an untrained model of the same kind for a control, and the subject has "
                "none. Give one as `untrained=(model,)`."
            )
        return self.untrained[0]

    @property
    def carrier(self) -> Role:
        """The role that carries the task vector.

        Raises:
            InputError: the format has none.
        """
        return carrier_of(self.format)

    @property
    def device(self) -> torch.device:
        """Where the models are, and episodes are drawn."""
        first = next(self.models[0].parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def layer(self) -> int:
        """Where vectors are read and written: the layer that was asked for, or prescribed in
        training, or that serves best on other episodes.
        """
        if self.asked_layer is not None:
            return self.asked_layer
        if self.training is not None and self.training.tvp_layer is not None:
            return self.training.tvp_layer
        return self._once("layer", self._best_layer)

    @property
    def episodes(self) -> Episodes:
        """The test episodes."""
        return self.sample(self.task)[0]

    @property
    def queries(self) -> Episodes:
        """Fresh queries of the same functions."""
        return self.sample(self.task)[1]

    def sample(self, task: Task) -> tuple[Episodes, Episodes]:
        """Test episodes of a task, and fresh queries of the same functions."""
        return self._once(("episodes", task), lambda: self._sample(task, self.test.seed))

    def contexts(self, functions: int, contexts: int) -> tuple[Episodes, Episodes]:
        """Several test episodes of each of some functions, rows "(function context)", and fresh
        queries of the same functions.

        Raises:
            InputError: there is nothing to compare.
        """
        if functions < 2 or contexts < 2:
            raise InputError(
                f"{functions} functions with {contexts} contexts each leave nothing to compare; "
                "give at least 2 of each."
            )

        def draw() -> tuple[Episodes, Episodes]:
            generator = self._seeded(self.test.seed)
            drawn = sample_contexts(
                self.task, functions, contexts, self.test.shots, generator=generator
            )
            return drawn, fresh_queries(self.task, drawn, generator=generator)

        return self._once(("contexts", functions, contexts), draw)

    def vectors(self, functions: int, contexts: int) -> TaskVectors:
        """The task vectors of these contexts, at every layer and context length."""

        def read() -> TaskVectors:
            episodes, _ = self.contexts(functions, contexts)
            return read_task_vectors(self.model, self.task, self.format, episodes)

        return self._once(("vectors", functions, contexts), read)

    def generator(self) -> Generator:
        """A source of all that is random in an analysis but its episodes: always from its
        beginning, so that no answer depends on what was asked before.
        """
        return self._seeded(self.test.seed + CONTROL_SEED)

    def alone(self, index: int) -> "Subject":
        """One of several models, as a subject of its own."""
        untrained = self.untrained and (self.untrained[index],)
        return replace(self, models=(self.models[index],), untrained=untrained)

    def _one(self, models: Sequence[HookedRootModule]) -> HookedRootModule:
        if len(models) > 1:
            raise InputError(
                f"This asks one model, and the subject has {len(models)} that differ in their "
                "seed. Ask each by itself: `subject.alone(0)`, ..."
            )
        return models[0]

    def _best_layer(self) -> int:
        episodes, queries = self._sample(self.task, self.test.seed + DEVELOPMENT_SEED)
        return best_layer(self.model, self.task, self.format, episodes, queries)

    def _sample(self, task: Task, seed: int) -> tuple[Episodes, Episodes]:
        generator = self._seeded(seed)
        episodes = sample_episodes(task, self.test.episodes, self.test.shots, generator=generator)
        return episodes, fresh_queries(task, episodes, generator=generator)

    def _seeded(self, seed: int) -> Generator:
        return Generator(self.device).manual_seed(seed)

    def _once(self, what: Hashable, compute: Callable[[], Found]) -> Found:
        if what not in self._known:
            self._known[what] = compute()
        return self._known[what]


def check_subject(subject: Any) -> None:
    """Raise InputError unless something is a subject."""
    if isinstance(subject, Subject):
        return
    got = type(subject).__name__
    if callable(getattr(subject, "subject", None)):
        hint = f"Make one of this {got}: `.subject()`."
    elif isinstance(subject, HookedRootModule):
        hint = "Say what the model is tested on: `tvl.Subject((model,), task, format)`."
    else:
        hint = "`tvl.load_pretrained(name).subject()` is one."
    raise InputError(f"An analysis asks a Subject, got a {got}. {hint}")
