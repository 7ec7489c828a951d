"""The SHA-256 of big files, cached by path, size and time of change, so that it is computed once."""

from __future__ import annotations

import json
from pathlib import Path

from lib_lora.files import explained, sha256, write_json


def cached_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of `path`; looked up in, and added to, the JSON file `cache`."""
    with explained(path, "read"):
        stat = path.stat()
    key = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict):
        known = {}
    found = known.get(key)
    if isinstance(found, str) and len(found) == 64:
        return found
    known[key] = sha256(path)
    write_json(cache, known)
    return str(known[key])
