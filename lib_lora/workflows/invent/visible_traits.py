"""Measures what a picture of one face visibly shows, in the words of `coverage_plan`.

The words of captions (`slots`), said as `coverage_plan` asks for them: framing, angle, background, and whether somebody
smiles or is serious. Light and outfit cannot be measured here; nothing is said of them, and what lies between two words
(a slight smile) gets neither. Pure functions.
"""

from __future__ import annotations

from lib_lora.captions import slots
from lib_lora.captions.photo_facts import PhotoFacts

MEASURED = ("framing", "angle", "expression", "background")
_ANGLES = {
    "looking at the camera": "ahead",
    "looking left": "left",
    "profile, looking left": "left",
    "looking right": "right",
    "profile, looking right": "right",
}
_BACKDROPS = {"dark background": "dark", "light background": "light"}
_EXPRESSIONS = {"smiling": "smiling", "serious expression": "serious"}
_GROUNDS = ("dark", "light", "coloured")  # of a street or a garden it is not known how bright they are
_FINER = {("expression", "laughing"): "smiling"}  # words that a measurement agrees with and cannot tell


def shows(photo: PhotoFacts) -> dict[str, str]:
    """What can be measured, by kind (`MEASURED`), where it is clear; nothing where there is no face."""
    face = photo.face
    if face is None:
        return {}
    found = {
        "framing": slots.PROMPT_FRAMINGS[slots.framing(face)],
        "angle": _ANGLES.get(slots.direction(face), ""),
        "expression": _EXPRESSIONS.get(slots.expression(face), ""),
        "background": _BACKDROPS.get(slots.backdrop(photo), ""),
    }
    return {kind: value for kind, value in found.items() if value}


def contradicts(shown: dict[str, str], kind: str, value: str) -> bool:
    """Whether a measurement says that a picture does not show what it was asked for.

    Args:
        shown: by `shows`.
        kind, value: what was asked for, in the words of `coverage_plan`.
    """
    if kind == "background" and value not in _GROUNDS:
        return False
    return kind in shown and shown[kind] != value and not finer(shown, kind, value)


def finer(shown: dict[str, str], kind: str, value: str) -> bool:
    """Whether a value says more than was measured, and what was measured agrees with it: who laughs, smiles."""
    return kind in shown and _FINER.get((kind, value)) == shown[kind]
