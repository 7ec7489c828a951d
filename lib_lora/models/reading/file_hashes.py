"""The SHA-256 of big files, cached by path, size and time of change, so that it is computed once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib_lora.files import explained, sha256, write_json


def cached_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of `path`; looked up in, and added to, the JSON file `cache`."""
    if found := looked_up_sha256(path, cache):
        return found
    key, digest = _key(path), sha256(path)
    write_json(cache, {**_known(cache), key: digest})
    return digest


def looked_up_sha256(path: Path, cache: Path) -> str:
    """As `cached_sha256`, where it stands in `cache`; else empty, since it takes long for a large file."""
    found = _known(cache).get(_key(path))
    return found if isinstance(found, str) and len(found) == 64 else ""


def _key(path: Path) -> str:
    with explained(path, "read"):
        stat = path.stat()
    return f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"


def _known(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
