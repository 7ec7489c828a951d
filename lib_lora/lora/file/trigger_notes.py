"""Reads the trigger words of anybody's LoRA file from its header and the webui's notes beside it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from lib_lora.files import opened

_LONGEST = 16 << 20  # bytes of a header, and of notes
_TAGS = 3  # of the most frequent ones in the captions: the trigger is in nearly all of them
_MOST = 0.9  # share of the most frequent tag's count
_MOST_COUNTED = 1 << 40  # captions; a number beyond it is a bad joke
_KEYS = ("modelspec.trigger_phrase", "sameface.trigger")


def answers_to(path: Path) -> set[str]:
    """Single words that the file is called by; empty where it says nothing, or cannot be read."""
    metadata, notes = _metadata(path), _notes(path.with_suffix(".json"))
    texts = [metadata.get(key) for key in _KEYS]
    texts += [notes.get("activation text"), *_frequent(metadata.get("ss_tag_frequency"))]
    phrases = {part.strip() for text in texts if isinstance(text, str) for part in text.split(",")}
    return {word for phrase in phrases if (word := _first(phrase))}


def _first(phrase: str) -> str:
    """Of "mrxa woman" the invented word; whole phrases of other words are no trigger."""
    words = re.sub(r"[()\[\]{}<>:]", " ", phrase).split()
    return words[0] if 0 < len(words) <= 2 else ""


def _metadata(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with opened(path) as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length <= _LONGEST else {}
    except (OSError, ValueError, struct.error, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _notes(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes()[:_LONGEST]) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _frequent(text: Any) -> list[str]:
    """The tags that are in nearly all captions, from kohya's ``{"10_name": {"tag": count}}``."""
    try:
        folders = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return []
    counts: dict[str, int] = {}
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if type(count) is int and 0 < count < _MOST_COUNTED:
                counts[str(tag).strip()] = counts.get(str(tag).strip(), 0) + count
    most = max(counts.values(), default=0)
    ordered = sorted(counts, key=lambda tag: -counts[tag])
    return [tag for tag in ordered[:_TAGS] if counts[tag] >= _MOST * most]
