"""Cleans events that come from another machine: known kinds, finite numbers, printable text of limited length.

What it says of this machine's files or of other runs is left out. Imports nothing heavy.
"""

from __future__ import annotations

import json
import math
from typing import Any

KINDS = frozenset(
    ["state", "step", "probe", "checkpoint", "sample", "warning", "error", "progress", "painting", "data", "choice"]
)
_LONGEST = 1 << 16  # bytes of a line
_LETTERS = 2000  # of a text
_LARGEST = 1e15


def plain_lines(content: bytes) -> str:
    """The lines of `content` that are events, each as a line of JSON; whatever else is there is left out."""
    found = []
    for line in content.split(b"\n"):
        if event := _plain(line):
            found.append(json.dumps(event, ensure_ascii=False) + "\n")
    return "".join(found)


def _plain(line: bytes) -> dict[str, Any] | None:
    if not line.strip() or len(line) > _LONGEST:
        return None
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("kind") not in KINDS:
        return None
    kept = {key: value for key, value in event.items() if _is_name(key) and _is_plain(value)}
    return {key: plain_text(value) if isinstance(value, str) else value for key, value in kept.items()}


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= 40 and key.isidentifier()


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, (bool, str)):
        return True
    if not isinstance(value, (int, float)):
        return False
    return (isinstance(value, int) or math.isfinite(value)) and abs(value) < _LARGEST


def plain_text(text: str, most: int = _LETTERS) -> str:
    """A text without what could steer a terminal, cut to `most` letters."""
    return "".join(letter for letter in text[: most * 2] if letter.isprintable() or letter == "\n")[:most]
