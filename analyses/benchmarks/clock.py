"""What one call costs. It needs nothing but PyTorch, so it works in every contestant's process."""

import time
from collections.abc import Callable
from typing import Any

import torch


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """CPU seconds of this process, all its threads together, or wall seconds of a GPU."""
    if device.type == "cpu":
        before = time.process_time()
        work()
        return time.process_time() - before
    accelerator = getattr(torch, device.type)
    accelerator.synchronize()
    before = time.perf_counter()
    work()
    accelerator.synchronize()
    return time.perf_counter() - before
