"""Computes the hashes by which kohya's tools, A1111 and Civitai know LoRA files and checkpoints.

A file is given as its bytes in pieces, in order, and the pieces can be gone through more than once: a list of buffers,
or `FileBytes` for what lies on disk. From bytes to hex digits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib_lora.errors import Misfit
from lib_lora.files import explained, opened

Buffer = bytes | bytearray | memoryview
_CHUNK = 1 << 20
_LEGACY_START = 0x100000
_LEGACY_LENGTH = 0x10000


class FileBytes:
    """The bytes of a file, read a megabyte at a time, each time it is gone through."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        with explained(self.path, "read"), opened(self.path) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk


def _window(chunks: Iterable[Buffer], start: int, stop: int | None = None) -> Iterator[memoryview]:
    """The bytes from `start` to before `stop` (None: to the end); fewer where there are fewer."""
    position = 0
    for chunk in chunks:
        if stop is not None and position >= stop:
            return
        view = memoryview(chunk)
        first = max(start - position, 0)
        last = len(view) if stop is None else min(stop - position, len(view))
        if first < last:
            yield view[first:last]
        position += len(view)


def _sha256(chunks: Iterable[Buffer]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def sshs_model_hash(chunks: Iterable[Buffer]) -> str:
    """SHA-256 (64 hex digits) of a safetensors file's tensor bytes: the same whatever its metadata say.

    A1111 shows the first 12 digits ("Lora hashes"); Civitai calls them AutoV3.

    Raises:
        ValueError: shorter than a safetensors file can be.
    """
    head = b"".join(_window(chunks, 0, 8))
    if len(head) < 8:
        raise Misfit("not a safetensors file: it is shorter than 8 bytes.", "chunks")
    (length,) = struct.unpack("<Q", head)
    return _sha256(_window(chunks, 8 + length))


def legacy_hash(chunks: Iterable[Buffer]) -> str:
    """The old short hash: 8 hex digits of SHA-256 over 64 KiB at the offset of 1 MiB.

    ``sshs_legacy_hash`` is this of the file with the ``ss_*`` metadata alone; ``ss_sd_model_hash`` is this of
    a checkpoint file. A file of less than 1 MiB gives the hash of nothing, e3b0c442.
    """
    return _sha256(_window(chunks, _LEGACY_START, _LEGACY_START + _LEGACY_LENGTH))[:8]


def legacy_file_hash(path: Path) -> str:
    """`legacy_hash` of a file on disk, of which only 64 KiB are read.

    Raises:
        UserError: the file cannot be read.
    """
    with explained(path, "read"), opened(path) as stream:
        stream.seek(_LEGACY_START)
        return hashlib.sha256(stream.read(_LEGACY_LENGTH)).hexdigest()[:8]
