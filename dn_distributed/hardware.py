"""What results are computed on: names of the processor and the device, and how many threads torch takes."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch


@cache
def cpu_name() -> str:
    """Return the processor's name and the vector instructions that torch uses of it."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")  # where there is none, the name is the architecture's
    for line in information.read_text(encoding="utf-8").splitlines() if information.exists() else []:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


@contextmanager
def on_threads(number: int) -> Iterator[None]:
    """Within, have torch compute on so many threads of the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
