"""Fixtures that several chapters of the tests share."""

import runpy
import signal
import sys
from collections.abc import Iterator

import pytest

import tvlens as tvl
from tests.planted_map import map_planted
from tests.running import ANALYSES, Ended, Script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Script]:
    """Run a script as `python analyses/NAME ARGUMENTS` does, but in this process."""
    monkeypatch.syspath_prepend(str(ANALYSES))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(name: str, *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", [str(ANALYSES / name), *map(str, arguments)])
        code: object = 0
        try:
            runpy.run_path(str(ANALYSES / name), run_name="__main__")
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def planted_map() -> tvl.LocalityMap:
    """The locality map of a planted model."""
    return map_planted()
