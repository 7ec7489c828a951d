"""What the test wants of the stand-in (variable SAMEFACE_STANDIN, JSON), and what happened in it."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

_GIVEN: dict[str, Any] = json.loads(os.environ["SAMEFACE_STANDIN"])
KIND: str = _GIVEN["kind"]  # "a1111", "ux", "forge" or "reforge"
DATA: str = _GIVEN["data"]
EXTENSIONS: list[str] = _GIVEN.get("extensions", [])  # folders with scripts/, javascript/, style.css
FLAGS: dict[str, Any] = _GIVEN.get("flags", {})  # of the command line, with underscores
OPTIONS: dict[str, Any] = _GIVEN.get("options", {})  # as if from config.json
PAINTER: str = _GIVEN.get("painter", "")  # FILE.py:FUNCTION(prompt, negative, seed, loras, width, height, steps, cfg)

EVENTS: list[str] = []  # in the order in which it happened
_inner = threading.Lock()


def note(event: str) -> None:
    """One more thing that happened."""
    with _inner:
        EVENTS.append(event)
