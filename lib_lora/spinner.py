"""Shows what is at work and for how long: a spinner in a terminal, a line now and then elsewhere.

Imports the standard library alone, since it is needed before there are packages.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

PAUSE = 10.0  # seconds between two lines where nothing can be redrawn
_TURN = 0.2  # seconds between two pictures of the spinner
_FRAMES = "|/-\\"
_SAID = (  # what pip and uv say, and what that is for a person
    (r"Collecting (\S+)", r"looking for \1"),
    (r"Downloading (\S+?)(?:-py\S*|-cp\S*)?\.whl\S*(?: \((.+)\))?", r"downloading \1 (\2)"),
    (r"Downloading (\S+)(?: \((.+)\))?", r"downloading \1 (\2)"),
    (r"Using cached (\S+?)(?:-py\S*|-cp\S*)?\.whl.*", r"taking \1 from pip's cache"),
    (r"Building wheels? for collected packages: (.+)", r"building \1"),
    (r"Installing collected packages: .*|Prepared \d+ packages? in .*", "putting the packages in place"),
    (r"Resolved (\d+) packages? in .*", r"getting \1 packages"),
)


class Spinner:
    """While the block runs, say what is done and for how long; in a terminal the line is gone afterwards.

    Args:
        what: is done at first.
        out: where to; None = standard error.
        clock: gives seconds.
    """

    def __init__(self, what: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.what = what
        self._out = out or sys.stderr
        self._redraws = self._out.isatty()
        self._clock, self._began = clock, clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def __enter__(self) -> Spinner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._redraws:
            self._out.write("\r\033[K" if sys.platform != "win32" else "\r" + " " * (_columns() - 1) + "\r")
            self._out.flush()

    def _turn(self) -> None:
        frames = itertools.cycle(_FRAMES)
        while not self._over.wait(_TURN if self._redraws else PAUSE):
            text = f"{self.what}, {spoken(self._clock() - self._began)}"
            if self._redraws:
                width = _columns() - 1
                self._out.write("\r" + f"{next(frames)} {text}"[:width].ljust(width))
            else:
                self._out.write(f"  {text}\n")
            self._out.flush()


def of_installer(line: str) -> str | None:
    """What pip or uv is doing by a line that it printed; None where the line does not say."""
    for pattern, said in _SAID:
        found = re.fullmatch(pattern, line.strip())
        if found:
            return found.expand(said).replace(" ()", "")
    return None


def spoken(seconds: float) -> str:
    """ "12 s", "3 min 5 s"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _columns() -> int:
    return shutil.get_terminal_size().columns
