"""What the benchmarks of a training step share: their sizes, and contestants in processes."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import torch
import tyro
from peers import Size
from timing import Where

from tvlens import InputError

WORKER = Path(__file__).parent / "worker.py"


@dataclass(frozen=True)
class Contest:
    """Where, how long and on what a training step is timed."""

    where: Annotated[Where, tyro.conf.arg(name="")] = Where()
    """Device, threads and output folder."""
    rounds: int = 20
    """How often each contestant takes its turn."""
    sizes: tuple[tuple[int, int], ...] = ((64, 47), (64, 122), (256, 47))
    """Width of the model and tokens of a prompt, pair after pair."""
    batch: int = 256
    """Prompts per step."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.batch < 1:
            raise InputError(
                f"Give --rounds and --batch at least 1, not {self.rounds}, {self.batch}."
            )
        for d_model, tokens in self.sizes:
            if tokens < 5 or tokens % 3 != 2:
                raise InputError(
                    f"A prompt cannot have {tokens} tokens: each example takes 3 and the query 2. "
                    "Give 47 or 122, say."
                )
            heads = Size(d_model).n_heads
            if d_model < 1 or d_model % heads:
                raise InputError(f"A width of {d_model} cannot be shared by {heads} heads evenly.")

    def each(self) -> Iterator[Size]:
        """The sizes one by one."""
        for d_model, tokens in self.sizes:
            yield Size(d_model, tokens, self.batch)


class Contestant:
    """A peer in a process of its own, which neither memory nor imports of others disturb."""

    def __init__(self, name: str, python: Path, size: Size, device: torch.device) -> None:
        """Start the process; it imports and builds while others do the same."""
        self.name = name
        arguments = [name, json.dumps(asdict(size)), str(device), str(torch.get_num_threads())]
        try:
            self.process = subprocess.Popen(
                [str(python), "-W", "ignore", str(WORKER), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,  # Ctrl-C is for the parent, which then stops the process.
            )
        except OSError as error:
            raise InputError(f"Cannot run {python}: {error.strerror}.") from error

    def __call__(self) -> float:
        """Seconds of one more training step."""
        assert self.process.stdin is not None
        try:
            print(file=self.process.stdin, flush=True)
        except BrokenPipeError:
            self._fail()
        return float(self._line())

    def versions(self) -> dict[str, str]:
        """Wait until the contestant is ready, and say which versions it runs."""
        return json.loads(self._line())

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._fail()
        return line

    def _fail(self) -> NoReturn:
        raise InputError(
            f"Contestant {self.name} ended by itself; what it said last stands above. Leave it out "
            "with --contestants, or mend its environment."
        )


@contextmanager
def contestants(
    pythons: Mapping[str, Path], size: Size, device: torch.device
) -> Iterator[dict[str, Contestant]]:
    """One process for each peer, run by the Python given for it, until the block ends."""
    with ExitStack() as stack:
        started = {}
        for name, python in pythons.items():
            started[name] = Contestant(name, python, size, device)
            stack.callback(started[name].stop)
        yield started
