"""What the long trainings share: an end by the time of day, whole checkpoints, a log of lines.

Knows nothing about what is trained.
"""

from __future__ import annotations

import json
import math
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch

from lib_lora.files import atomic_file


class Clock:
    """How much of a training is done, by the time of day: it ends on time however often it was stopped and begun again.

    Args:
        until: when it ends, in seconds since 1970.
        begun: when its first process began; None: now.
    """

    def __init__(self, until: float, begun: float | None = None) -> None:
        self.begun = time.time() if begun is None else begun
        self._until = until

    @property
    def share(self) -> float:
        """What is done, 0..1."""
        return min(1.0, (time.time() - self.begun) / max(1.0, self._until - self.begun))

    @property
    def minutes(self) -> float:
        return (time.time() - self.begun) / 60

    @property
    def over(self) -> bool:
        return time.time() >= self._until


def time_of_day(text: str, now: float | None = None) -> float:
    """The next time that the clock on the wall shows "HH:MM", in seconds since 1970.

    Raises:
        ValueError: no such time.
    """
    start = datetime.fromtimestamp(time.time() if now is None else now)
    hour, minute = (int(part) for part in text.split(":"))
    end = start.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (end if end > start else end + timedelta(days=1)).timestamp()


def falling(share: float, warmup: float, minimum: float = 0.02) -> float:
    """What a rate is multiplied by: rises over the first `warmup` (a share), then falls half a cosine to `minimum`."""
    if share < warmup:
        return max(minimum, share / warmup)
    return minimum + (1 - minimum) * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


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
