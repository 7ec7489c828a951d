"""Defines what a source offers for import: one picture with its caption, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

CAPTIONS = (".txt", ".caption")  # the first that is there counts


@dataclass(frozen=True)
class ImportItem:
    """A picture that may be taken in.

    Attributes:
        name: of the file, without folders; not yet safe for a disk.
        inner: the folder it lay in within what the user named; empty = directly there.
        stream: its bytes, from the beginning; closed by who made the offer once the next one is asked for.
        caption: the bytes of its caption file; None = it has none.
        size: bytes that it takes where it lies, packed ones if it is packed.
    """

    name: str
    inner: str
    stream: IO[bytes]
    caption: bytes | None = None
    size: int = 0
