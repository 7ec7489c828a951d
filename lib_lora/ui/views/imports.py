"""Keeps the imports under way in this process: how far each is, and stopping it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

from lib_lora.errors import brief
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post


@dataclass(eq=False)
class Running:
    """One import.

    Attributes:
        character: the folder of the character.
        source: what is taken in, for people.
        done, total: pictures that were looked at, and how many there are.
        file: the one that is looked at.
        stop: set by who wants it to end.
    """

    character: Path
    source: str
    done: int = 0
    total: int = 0
    file: str = ""
    stop: Event = field(default_factory=Event)

    def seen(self, done: int, total: int, file: str) -> None:
        """See `photos.importing.photo_import.Progress`."""
        self.done, self.total, self.file = done, total, file


_lock = Lock()
_running: list[Running] = []


def routes() -> list[Route]:
    """What is under way, and its end."""
    return [
        get("/characters/{slug}/imports", read_imports),
        post("/characters/{slug}/imports/stop", stop),
    ]


@contextmanager
def under_way(character: Path, source: str) -> Iterator[Running]:
    """An import, known to the routes while the block runs."""
    one = Running(character, source)
    with _lock:
        _running.append(one)
    try:
        yield one
    finally:
        with _lock:
            _running.remove(one)


def _of(context: RequestContext, call: Call) -> list[Running]:
    character = paths.character(context, call).path
    with _lock:
        return [one for one in _running if one.character == character]


def _values(found: list[Running]) -> list[dict[str, Any]]:
    return [
        {"source": one.source, "done": one.done, "total": one.total, "file": brief(one.file, [one.file])}
        for one in found
    ]


def read_imports(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """The running imports of a character, with the progress of each."""
    return _values(_of(context, call))


def stop(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """Stop the imports of a character; what has been imported stays. The response lists the stopped imports."""
    found = _of(context, call)
    for one in found:
        one.stop.set()
    return _values(found)
