"""How much memory was used and how much is free."""

from __future__ import annotations

import sys

import psutil
import torch


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has used so far: on a GPU what torch allocated there, else resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux KiB


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out (torch says it in several ways)."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    said = ("out of memory", "can't allocate memory", "_alloc_failed")
    return isinstance(error, RuntimeError) and any(words in text for words in said)
