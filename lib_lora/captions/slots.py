"""Chooses caption words for framing, direction, expression and background from what was measured of a photo.

A photo that lies between two words gets neither, so that the words mean something. The limits were set by looking at
photos in the order of the measure (`docs/references.md`).
"""

from __future__ import annotations

from typing import Literal

from lib_lora.captions.photo_facts import FaceFacts, PhotoFacts
from lib_lora.faces.expression import Expression

Framing = Literal["close-up", "upper body", "full body"]
PROMPT_FRAMINGS: dict[Framing, str] = {"close-up": "close", "upper body": "half", "full body": "full"}  # of a cell
Angle = Literal["profile from the left", "from the left", "ahead", "from the right", "profile from the right"]

CLOSE, HALF = 0.35, 0.12  # face height / photo height: above it a close-up, above it an upper body
AHEAD, TURNED, PROFILE = 0.15, 0.35, 0.8  # of yaw; 0.35 is about a three-quarter view
DARK, LIGHT = 70.0, 185.0  # mean grey level of the background

_EXPRESSIONS: dict[Expression, str] = {
    "smiling": "smiling", "slight smile": "slight smile", "serious": "serious expression"
}  # fmt: skip
EXPRESSIONS = frozenset(_EXPRESSIONS.values())  # all that `expression` says


def words(photo: PhotoFacts) -> list[str]:
    """The phrases that clearly hold for a photo, in the order of a caption; none where it shows no face."""
    face = photo.face
    if face is None:
        return []
    return [word for word in (framing(face), direction(face), expression(face), backdrop(photo)) if word]


def framing(face: FaceFacts) -> Framing:
    """How much of the person is shown."""
    if face.height > CLOSE:
        return "close-up"
    return "upper body" if face.height > HALF else "full body"


def angle(face: FaceFacts) -> Angle:
    """From which side the face is seen: from the left where the head is turned to the picture's left."""
    if abs(face.yaw) < TURNED:
        return "ahead"
    if abs(face.yaw) < PROFILE:
        return "from the left" if face.yaw < 0 else "from the right"
    return "profile from the left" if face.yaw < 0 else "profile from the right"


def direction(face: FaceFacts) -> str:
    """Where the head looks, as the viewer sees it."""
    side = "left" if face.yaw < 0 else "right"
    if abs(face.yaw) >= PROFILE:
        return f"profile, looking {side}"
    if abs(face.yaw) >= TURNED:
        return f"looking {side}"
    return "looking at the camera" if abs(face.yaw) < AHEAD else ""


def expression(face: FaceFacts) -> str:
    """An open smile, a slight one with closed lips, or neither; empty where that is not clear."""
    return _EXPRESSIONS.get(face.expression, "")


def backdrop(photo: PhotoFacts) -> str:
    """How bright the background is."""
    return "dark background" if photo.level < DARK else "light background" if photo.level > LIGHT else ""
