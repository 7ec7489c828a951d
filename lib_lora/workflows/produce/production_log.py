"""Reads a production's log, and parses only what was added since the last time.

Imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.workflows.produce.production import PaintedTry, file_name

_LONGEST = 1 << 16  # bytes of a line
_TAIL = 4096  # bytes by which a file is known again: several lines
_MOST = 32  # logs that are kept


@dataclass(frozen=True)
class ReadLog:
    """What stands in a log.

    Attributes:
        tries: the judged pictures, in the order of their lines; what was painted again has two.
        origin: changes where the file is another one, and did not just grow.
    """

    tries: list[PaintedTry]
    origin: str


@dataclass
class _Known:
    """What was read of a file.

    Attributes:
        place: its number on the disk.
        origin: see `ReadLog`.
        length: bytes of the whole lines that were read.
        tail: the last of these bytes.
        tries: what stands in them.
    """

    place: int
    origin: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    length: int = 0
    tail: bytes = b""
    tries: list[PaintedTry] = field(default_factory=list)


_known: OrderedDict[Path, _Known] = OrderedDict()
_lock = Lock()


def read_log(path: Path) -> ReadLog:
    """The lines of a log; those that a crash has cut off are passed over.

    Raises:
        UserError: the file is there, and cannot be read.
    """
    if not path.is_file():
        return ReadLog([], "")
    with _lock, explained(path, "read"), open(path, "rb") as stream:
        about = os.fstat(stream.fileno())
        known = _known.get(path)
        if known is None or known.place != about.st_ino or not _has_grown(stream, known, about.st_size):
            known = _Known(about.st_ino)
        stream.seek(known.length)
        added = stream.read(about.st_size - known.length)
        whole = added[: added.rfind(b"\n") + 1]
        for line in whole.split(b"\n"):
            known.tries += _parsed(line, path)
        known.length += len(whole)
        known.tail = (known.tail + whole)[-_TAIL:]
        _known[path] = known
        _known.move_to_end(path)
        while len(_known) > _MOST:
            _known.popitem(last=False)
        return ReadLog([*known.tries, *_parsed(added[len(whole) :], path)], known.origin)


def _has_grown(stream: BinaryIO, known: _Known, size: int) -> bool:
    """Whether a file has what was read of it, and perhaps more."""
    if size < known.length:
        return False
    stream.seek(known.length - len(known.tail))
    return stream.read(len(known.tail)) == known.tail


def _parsed(line: bytes, path: Path) -> list[PaintedTry]:
    """What a line says; nothing where it is damaged."""
    with suppress(ValueError, RecursionError, UserError):
        if line and len(line) < _LONGEST:
            one = typed_settings.from_dict(PaintedTry, json.loads(line), str(path))
            if one.file == file_name(one.item, one.attempt):
                return [one]
    return []
