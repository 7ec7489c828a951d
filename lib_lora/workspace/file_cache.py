"""What was read from files, kept until one of them is another: a page that asks each second reads nothing twice."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

Mark = tuple[int, int, int]  # time of change in nanoseconds, bytes, place on the disk
T = TypeVar("T")
_MOST = 4096
_kept: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()
_lock = Lock()


def mark(path: Path | str) -> Mark | None:
    """What changes when a file does; None where there is none."""
    try:
        about = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this is asked a thousand times a second
    except (OSError, ValueError):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def marks_in(folder: Path) -> dict[str, Mark]:
    """The marks of all files directly in a folder, by name; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            found = {}
            for entry in entries:
                if entry.is_file():
                    about = entry.stat()
                    found[entry.name] = (about.st_mtime_ns, about.st_size, about.st_ino)  # Windows gives 0 here
            return found
    except OSError:
        return {}


def kept(key: Hashable, state: Any, make: Callable[[], T]) -> T:
    """What `make` gives, made anew only when `state` is another than last time.

    Args:
        key: of what is kept.
        state: marks of all that it is made from.
        make: makes it.
    """
    with _lock:
        there = _kept.get(key)
        if there is not None and there[0] == state:
            _kept.move_to_end(key)
            return cast(T, there[1])
    made = make()
    with _lock:
        _kept[key] = (state, made)
        _kept.move_to_end(key)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return made


def forget() -> None:
    """Keep nothing; for tests."""
    with _lock:
        _kept.clear()
