"""Gives the tone (good, warning, bad) of a verdict and of each judged picture.

Imports nothing heavy, so that a page can ask.
"""

from __future__ import annotations

from lib_lora.messages.tone import Tone


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


def combined_tone(kind: str, judged: bool) -> Tone:
    """The same of what was found with another LoRA (`likeness.comparing.weight_verdict`)."""
    if not judged:
        return "none"
    return "good" if kind == "survives" else "warn" if kind == "survives up to" else "bad"


_WORDS: dict[str, dict[str, tuple[str, Tone]]] = {  # by role and status
    "lora": {"ok": ("ok", "good"), "drift": ("drift", "warn"), "lost": ("lost", "bad")},
    "base": {"ok": ("like this person", "none"), "drift": ("resembles", "none"), "lost": ("someone else", "none")},
    "leak": {"ok": ("leak", "warn"), "drift": ("leak", "warn"), "lost": ("no leak", "good")},
}
_UNJUDGED = "not judged"
STATUS_TONES: dict[str, Tone] = {  # of what a picture with the LoRA can be called
    "ok": "good",
    "drift": "warn",
    "lost": "bad",
    "copy": "warn",
    "suspect": "none",
    "no face": "none",
}
PICTURE_MEANINGS = {
    "ok": "clearly this person: likeness at or above the keep line",
    "drift": "between the two lines: something of the face is lost",
    "lost": "no more like the photos than a stranger's face can be",
    "copy": "repeats a photo instead of painting the person anew",
    "suspect": "a face, but too small, blurred, unclear, cut off, covered, heavily compressed, posterised or painted "
    "to be judged; not counted",
    "no face": "the detector finds none; not counted",
}


def picture_mark(role: str, status: str, is_copy: bool) -> tuple[str, Tone]:
    """What a picture is called, in a word or two, and its tone. One without the LoRA is not expected to show the
    person, so it is never marked bad; that it repeats a photo is in the tone alone."""
    word, tone = _WORDS[role].get(status, (_UNJUDGED if status == "unjudged" else status, "none"))
    if is_copy:
        tone = "bad" if tone == "bad" else "warn"
    return word, tone


def picture_words() -> list[str]:
    """All words that `picture_mark` can give a picture."""
    return [*(word for words in _WORDS.values() for word, _ in words.values()), *STATUS_TONES, _UNJUDGED]
