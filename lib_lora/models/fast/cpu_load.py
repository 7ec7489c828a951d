"""Measures how much of the processor other programs take, and what that makes of a training's pace.

Asks the system through psutil. Imports nothing heavy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

_LEAST = 0.05  # seconds; the system counts processor time in hundredths of a second


class Others:
    """What programs other than some processes take, from now on.

    Args:
        own: those processes; None = this one, with all that it has started.
    """

    def __init__(self, own: Iterable[psutil.Process] | None = None) -> None:
        self._own = list(_family() if own is None else own)
        self._wall, self._all, self._ours = time.perf_counter(), system_seconds(), self._own_seconds()

    def share(self) -> float:
        """The share of all cores that others took since this was made, 0 to 1."""
        wall = max(time.perf_counter() - self._wall, _LEAST)
        others = system_seconds() - self._all - (self._own_seconds() - self._ours)
        return min(1.0, max(0.0, others / (wall * cores())))

    def _own_seconds(self) -> float:
        seconds = 0.0
        for process in self._own:
            with suppress(psutil.Error):  # it has ended
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds


def share_now(seconds: float) -> float:
    """The share of all cores that programs other than this one and its children take within so many seconds."""
    others = Others()
    time.sleep(seconds)
    return others.share()


def slowed(others: float) -> float:
    """How many times as long a step on the processor takes beside programs that take a share of it, 0 to 1.

    Threads of a step wait for each other, so one that shares its core slows all. Beside one busy process on two cores
    (half of the processor) a step took five times as long, beside two three times, beside four thirteen times
    (docs/performance.md, "Beside other programs"): five times is the most that is foretold.
    """
    return 1.0 + 4.0 * min(1.0, 2.0 * others)


def cores() -> int:
    """Cores of this machine, as the system counts processor time."""
    return psutil.cpu_count() or 1


def _family() -> list[psutil.Process]:
    top = psutil.Process()
    with suppress(psutil.Error):
        return [top, *top.children(recursive=True)]
    return [top]


def system_seconds() -> float:
    """Seconds that all cores have worked since the machine started, or that a host took from them."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))
