"""Caches what was read from files until one of them changes.

`kept` is told what its result depends on. `unless_changed` finds out: it notes what is looked at through this module
(`mark`, `marks_in`, `names_in`, `observed`), and asks the same again instead of computing.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock, local
from typing import Any, TypeVar, cast

from lib_lora.errors import UserError
from lib_lora.files import names

Mark = tuple[int, int, int]  # time of change in nanoseconds, bytes, place on the disk
T = TypeVar("T")
_MOST = 4096
_kept: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()
_lock = Lock()
_Observation = tuple[Any, ...]  # a function and its arguments
_results: OrderedDict[Hashable, tuple[dict[_Observation, Any], Any]] = OrderedDict()
_noting = local()
_YOUNG = 2_000_000_000  # nanoseconds after a change in which another one may bear the same time, as on FAT


def mark(path: Path | str) -> Mark | None:
    """What changes when a file does; None where there is none."""
    return observed(_mark, os.fspath(path))


def _mark(path: str) -> Mark | None:
    try:
        about = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this is asked a thousand times a second
    except (OSError, ValueError):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def observe_settled(path: Path | str) -> None:
    """Note a file that changes without another size: what is made from it is kept once its last change is old enough
    for every later one to show. An empty one does not count."""
    observed(_settled, os.fspath(path))


def _settled(path: str) -> object:
    found = _mark(path)
    if found is None or not found[1]:
        return None
    return found if time.time_ns() - found[0] > _YOUNG else object()  # which equals nothing, not even the next one


def names_in(folder: Path) -> list[str]:
    """As `files.names`: what lies in a folder; nothing where there is none."""
    return observed(_names, os.fspath(folder))


def _names(folder: str) -> list[str]:
    return names(Path(folder))


def marks_in(folder: Path) -> dict[str, Mark]:
    """The marks of all files directly in a folder, by name; none where there is no folder."""
    return observed(_marks_in, os.fspath(folder))


def _marks_in(folder: str) -> dict[str, Mark]:
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
    """What `make` gives, made again only when `state` is another than last time.

    Nothing is kept of a `make` that raises, or in which `keep_nothing` was called.

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
    outer, _noting.lasts = getattr(_noting, "lasts", True), True
    try:
        made = make()
    finally:
        lasts, _noting.lasts = _noting.lasts, outer and _noting.lasts
    if not lasts:
        return made
    with _lock:
        _kept[key] = (state, made)
        _kept.move_to_end(key)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return made


def unless_changed(key: Hashable, make: Callable[[], T]) -> T:
    """What `make` gave last time, if all that it looked at through this module is still the same; else made again.

    May be used inside itself: what the inner one looked at counts for the outer one too. Nothing is kept of a `make`
    that raises.

    Args:
        key: of what is kept; it holds whatever else the result depends on.
        make: makes it. Whoever gets the result does not change it.
    """
    with _lock:
        observations, result = _results.get(key, (None, None))
    if observations is None or not _the_same(observations):
        outer, observations = getattr(_noting, "observations", None), {}
        _noting.observations = observations
        try:
            result = make()
        finally:
            _noting.observations = outer
        with _lock:
            _results[key] = (observations, result)
    with _lock:
        _results.move_to_end(key)
        while len(_results) > _MOST:
            _results.popitem(last=False)
    if (outer := getattr(_noting, "observations", None)) is not None:
        for observe, found in observations.items():
            outer.setdefault(observe, found)
    return cast(T, result)


def observed(observe: Callable[..., T], *arguments: Hashable) -> T:
    """What ``inspect(*arguments)`` gives; `unless_changed` asks it again to learn whether anything is another."""
    found = observe(*arguments)
    if (observations := getattr(_noting, "observations", None)) is not None:
        observations.setdefault((observe, *arguments), found)
    return found


def keep_nothing() -> None:
    """What is being made is to be made again next time: it depends on what cannot be asked.

    Whoever makes do without a file that could not be read calls this: another program may have held it for a moment,
    which changes no mark.
    """
    _noting.lasts = False
    observed(object)


def _the_same(observations: dict[_Observation, Any]) -> bool:
    try:
        return all(observe(*arguments) == found for (observe, *arguments), found in observations.items())
    except (OSError, UserError):  # whoever makes it again says so
        return False


def forget() -> None:
    """Keep nothing; for tests."""
    with _lock:
        _kept.clear()
        _results.clear()
