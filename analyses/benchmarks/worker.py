"""One contestant in a process of its own: `python worker.py PEER SIZE DEVICE THREADS`.

It prints one line of JSON, the versions that it runs, when it is ready. Then each line that it
reads lets it do one training step, whose seconds it prints.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version

import torch
from clock import seconds_of
from peers import PEERS, Size
from torch.nn import functional as F


def main(name: str, size: Size, device: torch.device, threads: int) -> None:
    """Build the model once, then train it step by step, always on the same batch."""
    # What libraries print must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    inputs = torch.randn(size.batch, size.tokens, size.d_in).to(device)
    targets = torch.randn(size.batch, size.tokens, 1)[:, size.answers].to(device)
    with device:
        modules, outputs = PEERS[name](size)
    modules.to(device).train()
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-3)

    def step() -> None:
        F.mse_loss(outputs(inputs), targets).backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    print(json.dumps(_versions()), file=answers, flush=True)
    for _ in sys.stdin:
        print(seconds_of(step, device), file=answers, flush=True)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("torch", "transformer-lens", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main(sys.argv[1], Size(**json.loads(sys.argv[2])), torch.device(sys.argv[3]), int(sys.argv[4]))
