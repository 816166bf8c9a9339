"""How much memory one answer takes: prints the bytes that it adds to its own process at their
peak, and the same when it holds the keys and values that decoding on would need.
"""

import json
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro
from answers import Request
from peak_memory import forget_peak, peak_bytes
from timing import parse, plain_errors


@dataclass(frozen=True)
class Config:
    """One answer."""

    request: Annotated[Request, tyro.conf.arg(name="")] = Request()
    """What is asked."""
    layer: int = 4
    """Above which layer the context is dropped; at the last one it is not."""
    device: str = "cpu"
    """Where; on a GPU its memory is what counts."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""


def main(config: Config) -> None:
    """Print both."""
    torch.set_num_threads(config.threads)
    device, size = torch.device(config.device), config.request
    layer = None if config.layer == size.n_layers else config.layer
    # What a first pass loads and keeps is no part of what an answer needs.
    Request(size.n_layers, size.d_model, examples=2).cached_answer(layer, device)()
    runs = (size.answer(layer, device), size.cached_answer(layer, device))
    forget_peak(device)
    before = peak_bytes(device)
    grown = []
    for run in runs:  # The second needs more than the first.
        run()
        grown.append(peak_bytes(device) - before)
    print(json.dumps(grown))


if __name__ == "__main__":
    with plain_errors():
        main(parse(Config(), __doc__))
