"""Computes hashes of big files once each, cached by path, size and time of change."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib_lora.files import explained, sha256, write_json


def cached_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of `path`; looked up in, and added to, the JSON file `cache`."""
    return cached_hash(path, cache)


def cached_hash(path: Path, cache: Path, kind: str = "", compute: Callable[[Path], str] | None = None) -> str:
    """Like `cached_sha256`, for another hash.

    Args:
        path: of the file.
        cache: the JSON file.
        kind: names the hash; empty = SHA-256 of the bytes.
        compute: makes it, 64 hex digits; None = `sha256`.
    """
    if found := known_hash(path, cache, kind):
        return found
    key, digest = _key(path, kind), (compute or sha256)(path)
    write_json(cache, {**_known(cache), key: digest})
    return digest


def known_sha256(path: Path, cache: Path) -> str:
    """As `cached_sha256`, where it stands in `cache`; else empty, since it takes long for a large file."""
    return known_hash(path, cache)


def known_hash(path: Path, cache: Path, kind: str = "") -> str:
    """As `cached_hash`, where it stands in `cache`; else empty."""
    found = _known(cache).get(_key(path, kind))
    return found if isinstance(found, str) and len(found) == 64 else ""


def note_sha256_of(path: Path, cache: Path, digest: str) -> None:
    """Put into `cache` what a file's SHA-256 is that was just written and computed."""
    write_json(cache, {**_known(cache), _key(path): digest})


def _key(path: Path, kind: str = "") -> str:
    with explained(path, "read"):
        stat = path.stat()
    return f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}{f'|{kind}' if kind else ''}"


def _known(cache: Path) -> dict[str, Any]:
    try:
        stat = cache.stat()
        return _read(str(cache), stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _read(cache: str, *_mark: int) -> dict[str, Any]:
    """The hashes in a file, read again when it is another one; a list of models asks for each of them."""
    known = json.loads(Path(cache).read_text(encoding="utf-8"))
    return known if isinstance(known, dict) else {}
