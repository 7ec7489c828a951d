"""One finding of each code and one problem of each caption check, with all that their sentences may name."""

from __future__ import annotations

from typing import Any, get_args

from lib_lora.captions.caption_check import Problem
from lib_lora.photos.audit.findings import Code, Finding

_DETAILS: dict[str, Any] = {
    "reason": "a.jpg is damaged (it ends too soon); replace or remove it.", "faces": 3, "width": 340, "height": 300,
    "resolution": 512, "other": "b.jpg", "likeness": 0.12, "usual": 0.57, "left_out": True, "missing": ["no close-up"],
    "people": [{"photos": 12, "like": "a.jpg"}, {"photos": 9, "like": "x.jpg"}],
}  # fmt: skip
_MEASURED: dict[Code, tuple[float | None, float | None]] = {
    "several-faces": (0.5, 0.3), "cut-off-face": (0.84, 0.85), "white-areas": (0.16, 0.15), "writing": (12, 5),
    "black-areas": (0.16, 0.15), "one-background": (0.45, 0.4), "one-outfit": (0.45, 0.4), "one-light": (8, 12),
    "same-picture": (0.984, 0.97), "same-moment": (0.961, 0.95), "another-person": (0.12, 0.4),
    "unusual-view": (None, None), "unclear-face": (0.12, 0.4), "several-people": (2, 1),
}  # fmt: skip
OF_SET: list[Code] = [*get_args(Code)][-8:]
PROBLEMS = [
    Problem("a.jpg", "caption-unreadable", {"reason": "The caption of a.jpg is no text."}),
    Problem("a.jpg", "caption-missing"),
    Problem("a.jpg", "trigger-missing", {"trigger": "mrxa"}, ("caption", "Mara", "--add", "mrxa woman")),
    Problem("a.jpg", "too-many-tokens", {"tokens": 90, "limit": 75}),
    Problem("", "captions-identical", {"captions": 12}, ("caption", "Mara", "--fill")),
    Problem("", "constant-phrases", {"phrases": "'hat', 'close-up'", "captions": 20}),
    Problem("", "constant-expression", {"phrase": "smiling", "captions": 20}),
]


def finding(code: Code, photo: str = "a.jpg", **details: Any) -> Finding:
    """The example of a code; one about the set names no photo."""
    named = {**_DETAILS, **({"photos": 16} if code == "missing-views" else {}), **details}
    value, limit = _MEASURED.get(code, (40, 50))
    return Finding("" if code in OF_SET else photo, code, "look", value, limit, named)


def findings() -> list[Finding]:
    """All of them."""
    return [finding(code) for code in get_args(Code)]
