"""Ends a run early and cleanly: on a signal, on a file ``stop`` in its folder, or when its parent says so."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

STOP_FILE = "stop"
PATIENCE = 3.0  # seconds in which a second signal is the first one's echo: launchers pass Ctrl+C on to their children
_listeners: list[Callable[[], bool]] = []


@contextmanager
def also_when(asked: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, a run ends as by its stop file once `asked()` is true; also if it was before it began."""
    _listeners.append(asked)
    try:
        yield
    finally:
        _listeners.remove(asked)


class StopRequest:
    """While the block runs, signals set a flag instead of ending the process; one more after 3 s ends it at once, but
    for a file that is being written.

    Args:
        folder: the run's folder, in which a file named ``stop`` means the same.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / STOP_FILE
        self._signalled: float | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._forget_file()  # one left from before would stop the run at once
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
                number = getattr(signal, name, None)
                if number is not None:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._forget_file()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled is None:
            self._signalled = now
            print("\nStopping after this step; everything will be saved.", file=sys.stderr)
        elif now - self._signalled > PATIENCE:
            raise KeyboardInterrupt

    def _forget_file(self) -> None:
        with suppress(OSError):
            self.file.unlink(missing_ok=True)

    def requested(self) -> bool:
        """Whether the run should save and end."""
        return self._signalled is not None or any(asked() for asked in _listeners) or self.file.exists()
