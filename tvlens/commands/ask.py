"""`tvlens geometry`, and so on: one question, put to some models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, TypeVar

import tyro

from tvlens.base.errors import InputError
from tvlens.base.files import writable_folder
from tvlens.base.progress import progress
from tvlens.commands.asked_models import Asked, Sources, named_models, say_which_seed, subjects
from tvlens.commands.endings import quietly
from tvlens.commands.parsing import Models, parse
from tvlens.results import Result, load_results, save_results
from tvlens.studies.answers import Answers
from tvlens.studies.question import Question
from tvlens.studies.reports import question_page
from tvlens.studies.study import check_fits

Hidden = tyro.conf.Suppress[tyro.conf.Fixed[int | None]]


@dataclass(frozen=True)
class Asking(Asked):
    """One question, put to some models."""

    models: Models = ()
    """Names of models that ship with tvlens, or run folders."""
    options: Any = None
    """Those of the analysis."""

    def sources(self) -> Sources:
        """The models by what they are called."""
        return named_models(self.models)


Config = TypeVar("Config", bound=Asking)


def ask(
    question: Question, arguments: Sequence[str], kind: type[Asking] = Asking, command: str = ""
) -> None:
    """Do what is typed after `tvlens QUESTION`.

    Args:
        question: what is asked.
        arguments: those after its name.
        kind: of configuration, with options of its own.
        command: what is typed if not the name of the question.
    """
    command = command or command_of(question)
    config = parse(
        f"tvlens {command}", arguments, starting_point(question, kind), described(question, command)
    )
    with quietly(config.quiet):
        out = writable_folder(config.out)
        if config.replot is not None:
            results: Mapping[str, Result] = load_results(question.result, config.replot)
            written = []
        else:
            results = answered(question, config)
            written = [out / f"{question.name}.nc"]
            save_results(results, written[0])
        page = question_page(question, results)
        print(page.table.to_string(index=False))
        print("wrote " + ", ".join(map(str, [*page.write(out), *written])))


def answered(question: Question, config: Asking) -> dict[str, Result]:
    """The results by model; those that are known already are not made again.

    Raises:
        InputError: a model cannot be asked this, which is said before anything is computed.
    """
    sources = config.sources()
    if not question.several_seeds:
        say_which_seed(sources, config)
    some = subjects(sources, config, question)
    for name, subject in some.items():
        with naming(name):
            check_fits(question, subject)
    answers = Answers(config.out / "answers")
    options = {name: getattr(config.options, name) for name in question.options}
    results: dict[str, Result] = {}
    for name, subject in progress(list(some.items()), question.name.replace("_", " ")):
        results[name] = answers.ask(question, subject, **options)
    return results


@contextmanager
def naming(model: str) -> Iterator[None]:
    """Within it, an error says which model it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{model}: {error}") from error


def command_of(question: Question) -> str:
    """What is typed to ask a question."""
    return question.name.replace("_", "-")


def described(question: Question, command: str) -> str:
    """What --help begins with."""
    example = " ".join(["tvlens", command, *question.models])
    return f"{question.title}\n\n{question.reading}\n\nExample: {example} --out figures"


def starting_point(question: Question, kind: type[Config]) -> Config:
    """A configuration with the options of the question, all at their defaults."""
    options = question.options
    hidden = {*options} & {"episodes", "examples", "layer"}
    if not question.one_layer:
        hidden.add("layer")
    Options = make_dataclass(
        "Options",
        [(name, each.type, field(default=each.default)) for name, each in options.items()],
        frozen=True,
        namespace={"__doc__": question.analysis.__doc__},
    )
    of_analysis = Annotated[Options, tyro.conf.arg(name="")]
    fields: list[tuple[str, Any, Any]] = [("options", of_analysis, field(default=Options()))]
    fields += [(name, Hidden, field(default=None)) for name in sorted(hidden)]
    config = make_dataclass(
        kind.__name__, fields, bases=(kind,), frozen=True, namespace={"__doc__": kind.__doc__}
    )
    return config(models=question.models, episodes=question.episodes, examples=question.examples)
