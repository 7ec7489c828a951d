"""Keeps the events of a run, one JSON object per line (``{"t": unix time, "kind": "step", ...}``), only ever appended.

Progress bars, charts and tests read this file; nothing else is said by a running job.
Imports nothing heavy, so that any screen can read it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.workspace.file_cache import keep_nothing

_SPARED = ("step", "probe", "sample", "checkpoint", "warning")  # while these are said, nothing is saved yet
_TRIES = 10  # Windows lets nobody write while a virus scanner holds the file
_AGAIN = 0.05  # seconds between two of them
_DAY = 86_400.0
_MOST = 1 << 22  # bytes of a file that are read at once


class EventLog:
    """Appends events to a file. Each is one write of one whole line, flushed at once.

    Raises:
        UserError: (by a call too) the file cannot be written. An event that only tells how a training goes is left out
            instead: for a line in a chart nobody gives the training up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False  # the last time
        with explained(path):
            file_permissions.make_folder(path.parent)
            self._mend()

    def _mend(self) -> None:
        """End a line that a killed writer left half written, so that the next event stands on its own line."""
        if self.path.exists() and self.path.stat().st_size:
            with open(self.path, "rb+") as stream:
                stream.seek(-1, 2)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")

    def __call__(self, kind: str, **fields: Any) -> None:
        """Append one event. Numbers that are not finite become null."""
        line = json.dumps({"t": round(time.time(), 3), "kind": kind, **_finite(fields)}, ensure_ascii=False)
        try:
            with explained(self.path):
                self._append(line)
            self._failed = False
        except UserError:
            self._failed = True
            if kind not in _SPARED:
                raise

    def _append(self, line: str) -> None:
        for left in reversed(range(1 if self._failed else _TRIES)):
            try:
                if self._failed:
                    self._mend()
                words = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
                with open(self.path, "a", opener=file_permissions.opener, **words) as stream:  # type: ignore[call-overload]
                    stream.write(line + "\n")
                return
            except PermissionError:
                if not left:
                    raise
                time.sleep(_AGAIN)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def pace_of(events: Iterable[dict[str, Any]], before: float = 0.0) -> float:
    """Seconds for a step, as the last event that tells says; `before` where none does."""
    pace = before
    for event in events:
        seconds = event.get("seconds_per_step") if event["kind"] == "step" else None
        if isinstance(seconds, (int, float)) and 0 < seconds < _DAY:  # not so what a strange file may hold
            pace = float(seconds)
    return pace


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events so far, in order. A line that is being written, or was cut off by a kill, is passed over."""
    if not path.exists():
        return
    with explained(path, "read"), open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and "kind" in event:
                yield event


def events_after(path: Path, offset: int = 0, most: int = _MOST) -> tuple[list[dict[str, Any]], int]:
    """The events from a place in the file on, and the place to go on from.

    A line that is still being written is left for the next call; one that is no event is passed over; a file that is
    not there has no events.

    Args:
        path: of the events.
        offset: in bytes; one past the end of the file, as of another file, means its beginning.
        most: about so many bytes are read at once. More is there while the place goes on.
    """
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            start = stream.seek(offset if 0 <= offset <= size else 0)
            data = stream.read(most)
            if not data.endswith(b"\n"):
                data += stream.readline()  # a line is read whole, however long
    except (FileNotFoundError, NotADirectoryError):
        return [], 0
    except OSError:  # another program may hold it
        keep_nothing()
        return [], max(offset, 0)
    data = data[: data.rfind(b"\n") + 1]
    events = [event for line in data.split(b"\n") if (event := _event(line)) is not None]
    return events, start + len(data)


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
