"""Which device computes."""

import os
import shutil

import torch

from tvlens.base.errors import InputError, did_you_mean


def available_devices() -> list[str]:
    """Devices of this machine, the fastest first."""
    cuda = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*(cuda if torch.cuda.is_available() else []), *mps, "cpu"]


def choose_device(name: str | None = None) -> torch.device:
    """The named device, or the fastest there is.

    Raises:
        InputError: this machine has no such device.
    """
    available = available_devices()
    if name is None:
        return torch.device(available[0])
    if name not in available:
        raise InputError(f"There is no device {name!r} here.{did_you_mean(name, available)}")
    return torch.device(name)


def check_compiler(device: torch.device) -> None:
    """See that `torch.compile` has the C++ compiler that it needs for a CPU.

    Raises:
        InputError: there is none.
    """
    known = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    if device.type == "cpu" and not any(shutil.which(name) for name in known):
        raise InputError(
            f"There is no C++ compiler ({' or '.join(known)}), which compiling for a CPU needs. "
            "Install one, or train without compiling."
        )
