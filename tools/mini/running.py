"""What the long trainings share: a budget of minutes that outlives a kill, whole checkpoints, a log of lines.

Knows nothing about what is trained.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from lib_lora.files import atomic_file


class Clock:
    """Seconds of training, over all the processes that went on with it."""

    def __init__(self, minutes: float, before: float = 0.0) -> None:
        """`minutes`: the whole budget; `before`: seconds that were used by earlier processes."""
        self.total = minutes * 60
        self._before, self._start = before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    @property
    def over(self) -> bool:
        return self.seconds >= self.total


class Every:
    """True once in `seconds`; the first time after that long."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint of plain values and tensors; a kill at any moment leaves the old one or the new one."""
    with atomic_file(path) as stream:
        torch.save(state, stream)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint at `path`, on the CPU; none if there is none."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def log(path: Path, **values: Any) -> None:
    """Add one JSON line to a log, and show it."""
    line = json.dumps({key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()})
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    print(line, flush=True)
