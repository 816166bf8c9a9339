"""The `tvlens` command."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tvlens.base.errors import InputError, did_you_mean
from tvlens.commands.endings import plain_errors
from tvlens.studies.questions import QUESTIONS

Command = Callable[[Sequence[str]], None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is typed after `tvlens`.

    Args:
        arguments: those of the command line if None.
    """
    given = list(map(str, sys.argv[1:] if arguments is None else arguments))
    with plain_errors():
        if not given or given[0] in ("-h", "--help"):
            print(overview())
            return
        commands = {**OTHERS, **{_typed(name): partial(_ask, name) for name in QUESTIONS}}
        if given[0] not in commands:
            hint = did_you_mean(given[0], commands).partition(" Known:")[0]
            raise InputError(f"There is no command {given[0]!r}.{hint} `tvlens --help` lists them.")
        commands[given[0]](given[1:])


def overview() -> str:
    """Every command, on one page."""
    lines = ["usage: tvlens COMMAND [MODEL ...] [--OPTION VALUE ...]", ""]
    lines += ["Where does a transformer keep the task that it has just inferred from its context?"]
    lines += ["MODEL is the name of one that ships (`tvlens presets`) or a run folder."]
    lines += ["`tvlens COMMAND --help` tells the options of a command.", ""]
    width = max(map(len, [*OTHERS, *QUESTIONS])) + 2
    lines += [f"  {name:<{width}}{command.__doc__}" for name, command in OTHERS.items()]
    lines += ["", "questions:"]
    lines += [f"  {_typed(name):<{width}}{each.title}" for name, each in QUESTIONS.items()]
    return "\n".join(lines)


def _typed(name: str) -> str:
    return name.replace("_", "-")


# What a command needs, PyTorch above all, is loaded when it is asked for.


def _train(arguments: Sequence[str]) -> None:
    """Train a model, or several seeds of one."""
    from tvlens.commands.train import train

    train(arguments)


def _presets(arguments: Sequence[str]) -> None:
    """List what can be trained, and what ships."""
    from tvlens.commands.presets import presets

    presets(arguments)


def _sweep(arguments: Sequence[str]) -> None:
    """Train a grid of models, then ask all of them one question."""
    from tvlens.commands.sweep import sweep

    sweep(arguments)


def _locality_sweep(arguments: Sequence[str]) -> None:
    """The sweep that maps where models keep their task."""
    from tvlens.commands.sweep import sweep

    sweep(["locality_map", *arguments])


def _report(arguments: Sequence[str]) -> None:
    """Every question that applies to some models, on one page."""
    from tvlens.commands.report import report

    report(arguments)


def _linear_theory(arguments: Sequence[str]) -> None:
    """What is proven of linear transformers, on trained ones."""
    from tvlens.commands.stories import tell

    tell("linear_theory", arguments)


def _task_vector_limits(arguments: Sequence[str]) -> None:
    """What one task vector can not do, and several can."""
    from tvlens.commands.stories import tell

    tell("task_vector_limits", arguments)


def _check(arguments: Sequence[str]) -> None:
    """Measure the models that ship against what they were trained for."""
    from tvlens.commands.check import check

    check(arguments)


def _ask(question: str, arguments: Sequence[str]) -> None:
    if question == "emergence":
        from tvlens.commands.emergence import emergence

        return emergence(arguments)
    from tvlens.commands.ask import ask

    ask(QUESTIONS[question], arguments)


OTHERS: Mapping[str, Command] = {
    "train": _train,
    "presets": _presets,
    "sweep": _sweep,
    "locality-sweep": _locality_sweep,
    "report": _report,
    "linear-theory": _linear_theory,
    "task-vector-limits": _task_vector_limits,
    "check": _check,
}
"""Commands that are no question."""

if __name__ == "__main__":
    main()
