"""How a verdict sounds, wherever it is shown. Loads nothing, so that a list on a page can say it."""

from __future__ import annotations

from typing import Literal

Tone = Literal["good", "warn", "bad", "none"]


def verdict_tone(kind: str, judged: bool) -> Tone:
    """Good, a warning, bad, or none where nothing could be judged.

    Args:
        kind: of the verdict.
        judged: whether it is one.
    """
    if not judged:
        return "none"
    if kind == "consistent":
        return "good"
    return "warn" if kind in ("slightly undertrained", "overtrained") else "bad"
