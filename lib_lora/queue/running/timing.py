"""Holds the supervisor's timeouts and the clock that it uses.

Imports nothing heavy.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Timeouts:
    """How long is waited, in seconds.

    Attributes:
        stop, pause: for a worker that was asked to, before it is killed; longer where its steps are (`patient`).
        close: the same where the host closes.
        leave: for one that has said how it ended, and only has to go.
        poll: between two looks at the queue.
        again: between two looks where nothing is to do, and two tries of what did not work.
    """

    stop: float = 90.0
    pause: float = 120.0
    close: float = 60.0
    leave: float = 30.0
    poll: float = 0.5
    again: float = 2.0


class Clock(Protocol):
    """Time as the supervisor sees it; a test gives one that does not really wait."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; whether it is set."""
        ...


class SystemClock:
    """The machine's own clock (`Clock`)."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """See `Clock.wait`."""
        return event.wait(seconds)
