"""The templates of a message, for tests that compare them with what a translator gets."""

from __future__ import annotations

from typing import Any


def templates_of(message: dict[str, Any]) -> set[str]:
    """Of a message as the routes send it, with its parts."""
    values = message["values"].values()
    parts = [part for one in values for part in (one if isinstance(one, list) else [one]) if isinstance(part, dict)]
    return {message["template"]}.union(*map(templates_of, parts))
