"""What there is to compute with: the GPU, without loading torch, and the Python that trains, by running it.

Both are asked at most once in a while, since the page asks whenever somebody looks.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from threading import Thread

from lib_lora.environment import ROOT
from lib_lora.errors import UserError

_ASKED = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from lib_lora import packages; "
    "print(json.dumps([list(sys.version_info[:3]), packages.absent()]))"
)
_KEPT = 60.0  # seconds


@dataclass(frozen=True)
class Gpu:
    """What trains.

    Attributes:
        name: as its maker calls it; empty = only the CPU.
        memory, free: bytes; 0 = unknown.
    """

    name: str
    memory: int = 0
    free: int = 0


def gpu() -> Gpu:
    """The first GPU: of torch, where the webui has loaded it, else as its driver's tool says it."""
    return _gpu(int(time.monotonic() // _KEPT))


def has_gpu() -> bool | None:
    """Whether there is one; None until that is known, since a driver's tool may take seconds."""
    looking = _looking()
    return looking.result() if looking.done() else None


@lru_cache(maxsize=1)
def _looking() -> Future[bool | None]:
    """Asked once: it does not change."""
    found: Future[bool | None] = Future()

    def look() -> None:
        try:
            found.set_result(bool(gpu().name))
        except Exception:  # a broken driver: the doctor says it
            found.set_result(None)

    Thread(target=look, name="sameface-gpu-there", daemon=True).start()
    return found


@lru_cache(maxsize=1)
def _gpu(_: int) -> Gpu:
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_available():
        free, memory = torch.cuda.mem_get_info()
        return Gpu(torch.cuda.get_device_name(), memory, free)
    said = run(["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"])
    parts = [part.strip() for part in said.splitlines()[0].split(",")] if said.strip() else []
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        return Gpu(parts[0], int(parts[1]) << 20, int(parts[2]) << 20)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Gpu("Apple GPU")
    return Gpu("AMD GPU") if shutil.which("rocm-smi") else Gpu("")


def lacks(command: Sequence[str], variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """The version of the Python that trains, and the packages that it lacks. It is run for this.

    Args:
        command: starts it.
        variables: its environment.

    Raises:
        UserError: it does not run.
    """
    return _lacks(tuple(command), tuple(sorted(variables.items())), int(time.monotonic() // _KEPT))


@lru_cache(maxsize=2)
def _lacks(command: tuple[str, ...], variables: tuple[tuple[str, str], ...], _: int) -> tuple[str, list[str]]:
    said = run([*command, "-c", _ASKED, str(ROOT)], dict(variables))
    try:
        version, absent = json.loads(said)
    except ValueError as error:
        raise UserError(
            f"{command[0]} does not run as Python 3.10 or newer.", code="worker-python-outdated", program=command[0]
        ) from error
    return ".".join(map(str, version)), absent


def run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """What a short command prints; nothing where it fails or is not there."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    try:
        done = subprocess.run(
            list(command),
            env=dict(os.environ if variables is None else variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=False,
            creationflags=flags,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
