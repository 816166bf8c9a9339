"""Which models a command asks: names that ship, or run folders."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tvlens.base.devices import choose_device
from tvlens.base.errors import InputError
from tvlens.commands.own_kinds import own_kinds
from tvlens.commands.parsing import Kinds, Quiet
from tvlens.studies.question import Question
from tvlens.subjects import Subject, Test
from tvlens.training.run import Run, seeds_subject
from tvlens.training.runs import list_pretrained, load_pretrained, load_seeds

Sources = Mapping[str, str | Path]
"""Names of models that ship and run folders, by what they are called."""


@dataclass(frozen=True)
class Asked:
    """How models are asked, whatever the question."""

    out: Path = Path("figures")
    """Folder of the page (.html), the table (.csv) and the results (.nc)."""
    episodes: int | None = None
    """Episodes that each model is tested on, the same for all models of a task; what the question
    takes if not given."""
    examples: int | None = None
    """Longest context; the one of the model's training if not given."""
    layer: int | None = None
    """Where vectors are read and written. If not given: the layer prescribed in training, and for a
    vanilla model the one that is best on other episodes."""
    seed: int = Test.seed
    """Seed of the test episodes, which no training uses."""
    device: str | None = None
    """Where to compute; the fastest device there is if not given."""
    kinds: Kinds = ()
    """A class of your own that runs are made of, a task say: mytask.py:Quadratic. The file is run.
    May be given several times."""
    replot: Path | None = None
    """Draw again from the results of an earlier call, and compute nothing."""
    quiet: Quiet = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        if self.episodes is not None and self.episodes < 10:
            raise InputError(f"--episodes {self.episodes} is too few for intervals; give 10.")
        if self.examples is not None and self.examples < 1:
            raise InputError(f"--examples {self.examples} is too few; give at least 1.")


def named_models(models: Sequence[str]) -> dict[str, str | Path]:
    """Names of models that ship and run folders, by what they are called.

    Raises:
        InputError: two are called the same.
    """
    named: dict[str, str | Path] = {}
    for model in models:
        # What has a slash is a path, there or not.
        shipped = model in list_pretrained() or not ("/" in model or Path(model).exists())
        name = model if shipped else Path(model).resolve().name
        if name in named:
            raise InputError(f"Two models are called {name!r}; rename one of the folders.")
        named[name] = model if shipped else Path(model)
    return named


def shipped(format: type) -> list[str]:
    """Names of the models that ship whose prompts are of one kind of format."""
    runs = {name: load_pretrained(name, device="cpu") for name in list_pretrained()}
    return [name for name, run in runs.items() if isinstance(run.experiment.format, format)]


def loaded(sources: Sources, asked: Asked) -> dict[str, list[Run]]:
    """The runs of each model, one for each seed.

    Raises:
        InputError: there is no such device, class or model.
    """
    choose_device(asked.device)
    kinds = own_kinds(asked.kinds)
    return {name: _runs(source, asked.device, kinds) for name, source in sources.items()}


@functools.cache
def _runs(source: str | Path, device: str | None, kinds: tuple[type, ...]) -> list[Run]:
    with _pointing_to_kinds():
        return load_seeds(source, device=device, own_kinds=kinds)


@contextmanager
def _pointing_to_kinds() -> Iterator[None]:
    """Within it, an error about a class of somebody's own says how a command is told of it."""
    try:
        yield
    except InputError as error:
        of_library = "A class of your own must be named to the function that loads it."
        of_command = "Name a class of your own with --kinds FILE.py:CLASS."
        raise InputError(str(error).replace(of_library, of_command)) from error


def subjects(sources: Sources, asked: Asked, question: Question) -> dict[str, Subject]:
    """The models as a question asks them: all their seeds together, or the first."""
    test = Testing(
        asked.episodes or question.episodes,
        asked.examples or question.examples,
        asked.layer if question.one_layer else None,
        asked.seed,
    )
    kinds = own_kinds(asked.kinds)
    return {
        name: _subject(name, source, asked.device, kinds, test, question.several_seeds)
        for name, source in sources.items()
    }


def say_which_seed(sources: Sources, asked: Asked) -> None:
    """Say of which models only one seed is asked."""
    for name, runs in loaded(sources, asked).items():
        if len(runs) > 1:
            seed = runs[0].experiment.seed
            print(f"{name} was trained from {len(runs)} seeds; asked is seed {seed}.")


class Testing(NamedTuple):
    """How models are tested; of None, the model's training decides."""

    episodes: int
    examples: int | None
    layer: int | None
    seed: int


# Questions of a report share what one subject computes once.
@functools.cache
def _subject(
    name: str,
    source: str | Path,
    device: str | None,
    kinds: tuple[type, ...],
    test: Testing,
    every_seed: bool,
) -> Subject:
    runs = _runs(source, device, kinds)
    chosen = runs if every_seed else runs[:1]
    return seeds_subject(chosen, name=name, **test._asdict())
