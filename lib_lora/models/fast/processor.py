"""Identifies the processor as far as it decides which of torch's libraries is faster."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache
from pathlib import Path

_AMD = ("AuthenticAMD", "HygonGenuine")  # the second is AMD's design under licence


@lru_cache(maxsize=1)
def is_amd() -> bool:
    """Whether AMD designed it: Intel's library, which torch has for x86, leaves such a processor half idle.

    Never measured: a machine is always the same, so that a run which is resumed computes the same bits.
    """
    return any(name in _identification() for name in _AMD)


def _identification() -> str:
    """What the system tells of the processor, with its maker's name where there is one."""
    if sys.platform == "linux":
        try:
            with open(Path("/proc/cpuinfo"), encoding="utf-8", errors="replace") as stream:
                return stream.read(4096)  # the first of its cores
        except OSError:
            return ""
    return platform.processor()  # Windows: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
