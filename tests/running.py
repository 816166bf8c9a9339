"""Running a command or a script of analyses in this process, and how that ended."""

import contextlib
import io
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tvlens.commands.main import main

ANALYSES = Path(__file__).parent.parent / "analyses"


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    error: str


Script = Callable[..., Ended]


def run_command(*arguments: object) -> Ended:
    """Do what is typed after `tvlens`."""
    return _ended(lambda: main([*map(str, arguments)]))


def run_script(name: str, *arguments: object) -> Ended:
    """Run a script as `python analyses/NAME ARGUMENTS` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ANALYSES))
        patch.setattr(sys, "argv", [str(ANALYSES / name), *map(str, arguments)])
        return _ended(lambda: runpy.run_path(str(ANALYSES / name), run_name="__main__"))


def _ended(call: Callable[[], object]) -> Ended:
    """Call what may end the program, and listen to signals as before."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, error = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            call()
        except SystemExit as end:
            code = end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Ended(code, out.getvalue(), error.getvalue())
