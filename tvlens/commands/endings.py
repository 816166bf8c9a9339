"""How commands end: with one line where the user can mend the cause, and when interrupted."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from tvlens.base.errors import DivergenceError, InputError
from tvlens.base.progress import no_progress


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with one line and exit code 2, not a traceback, where the user can mend the cause."""
    try:
        yield
    except (InputError, DivergenceError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Within it nothing is printed but errors, if `quiet`."""
    if not quiet:
        yield
        return
    with redirect_stdout(io.StringIO()), no_progress():
        yield


class Interruption:
    """Whether Ctrl-C or SIGTERM came; the second Ctrl-C ends the program at once."""

    def __init__(self) -> None:
        """Listen from now on."""
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
