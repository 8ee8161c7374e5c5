"""The memory of a process that trains: blocks that are used again, a device's cache, and errors for want of it."""

import ctypes
import sys
from functools import cache

import torch


@cache
def keep_freed_memory() -> None:
    """Keep freed blocks in the process: a training step frees and asks for the same large ones again.

    glibc would give each back to the kernel and fault it in anew, about a tenth of a step's time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_trim_threshold, m_mmap_threshold, one_gib = -1, -3, 1 << 30
        libc.mallopt(m_mmap_threshold, one_gib)
        libc.mallopt(m_trim_threshold, one_gib)


def release_device_memory() -> None:
    """Give back what torch keeps for itself: other packs may share the GPU."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a device or this machine had no memory left; torch's CPU allocator raises a RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
