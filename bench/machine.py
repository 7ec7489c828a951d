"""What a measurement needs to know of the machine: who works on it, what is read from its disk, what it is.

Works on Linux, macOS and Windows; what only Linux tells is left out elsewhere, and said so. Knows nothing of what is
measured.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lib_lora.models.fast.cpu_load import system_seconds


def describe() -> dict[str, Any]:
    """What measures."""
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "torch_threads": torch.get_num_threads(),
        "load_average": round(float(psutil.getloadavg()[0]), 2),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers", "peft")},
    }


def _processor() -> str:
    """Its name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@dataclass
class MachineWatch:
    """Wall-clock and processor time of one process since this was made, and what other programs took meanwhile."""

    process: psutil.Process
    wall: float = field(default_factory=time.perf_counter)
    system: float = field(default_factory=lambda: system_seconds())

    def __post_init__(self) -> None:
        self.own = self._own()

    def _own(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def read(self) -> dict[str, float]:
        """Seconds of the wall clock and of the process, and the others' share of all cores in percent."""
        wall, own = time.perf_counter() - self.wall, self._own() - self.own
        others = max(0.0, system_seconds() - self.system - own) / (wall * (os.cpu_count() or 1))
        return {"wall": wall, "processor": own, "others_percent": 100 * others}


def drop_file_cache(path: Path) -> None:
    """Ask the system to forget a file's pages; only POSIX systems can, and some do not."""
    if sys.platform == "linux":
        with open(path, "rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes(process: psutil.Process) -> int:
    """Bytes that the process has read from the disk itself; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0  # elsewhere there is no such count, or it includes what the cache gave
    return int(process.io_counters().read_bytes)
