"""Fixtures that several chapters of the tests share."""

import runpy
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

import tvlens as tvl
from tests.planted_map import map_planted
from tests.running import ANALYSES, Ended, Script, Typed
from tvlens.commands.main import main


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Call what may end the program, and put back how it listens to signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(call: Callable[[], object]) -> Ended:
        code: object = 0
        try:
            call()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    yield end
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def typed(ended: Callable[..., Ended]) -> Typed:
    """Do what is typed after `tvlens`, in this process."""
    return lambda *arguments: ended(lambda: main([*map(str, arguments)]))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, ended: Callable[..., Ended]) -> Script:
    """Run a script as `python analyses/NAME ARGUMENTS` does, but in this process."""
    monkeypatch.syspath_prepend(str(ANALYSES))

    def run(name: str, *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", [str(ANALYSES / name), *map(str, arguments)])
        return ended(lambda: runpy.run_path(str(ANALYSES / name), run_name="__main__"))

    return run


@pytest.fixture(scope="session")
def planted_map() -> tvl.LocalityMap:
    """The locality map of a planted model."""
    return map_planted()
