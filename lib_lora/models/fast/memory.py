"""Measures how much memory was used and how much is free, and frees it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_DESKTOP = 300 << 20  # bytes of a GPU that Windows itself holds at least
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 << 20}
_USUAL = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10}  # GNU's own defaults


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has used so far: on a GPU what torch allocated there, else resident memory."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux KiB


def release() -> None:
    """Free what nothing refers to any more now, not when Python finds the time; on a GPU also torch's own reserve."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on the device."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def whole_bytes(device: torch.device) -> int | None:
    """The size of a CUDA GPU's memory; None for what is none, and where the driver does not tell."""
    if device.type != "cuda":
        return None
    import torch

    try:
        return int(torch.cuda.get_device_properties(device).total_memory)
    except RuntimeError:
        return None


def spilled(device: torch.device) -> bool:
    """Whether Windows has put part of what torch holds on this GPU into the machine's memory.

    Its driver does so without an error once the GPU's own is full, and a step then takes ten times as long.
    """
    if sys.platform != "win32" or device.type != "cuda":
        return False
    import torch

    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    return held > total - _DESKTOP or (free == 0 and held > total / 2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out (torch says it in several ways)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, without loading it
        return True
    text = str(error).lower()
    said = ("out of memory", "not enough memory", "can't allocate memory", "_alloc_failed")
    return isinstance(error, RuntimeError) and any(words in text for words in said)


@contextmanager
def freed_is_kept(device: torch.device) -> Iterator[None]:
    """While the block runs, let this process keep the memory that it frees, for its next tensors; then give it back.

    Linux' C library gives each large tensor's pages back to the system and takes new ones, which the system clears:
    a twelfth of a float32 step of Stable Diffusion 1.5 on a CPU (docs/performance.md). Elsewhere nothing is done.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if library is None or not hasattr(library, "mallopt"):  # another C library than GNU's
        yield
        return
    _tell(library, _KEEP)
    try:
        yield
    finally:
        _tell(library, _USUAL)
        give_back()


def give_back() -> None:
    """Give memory that is free, but still this process's, back to the system, where GNU's C library holds it."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _tell(library: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        library.mallopt(option, value)
