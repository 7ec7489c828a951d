"""Defines a face, and the interface of every engine that finds faces.

Knows no model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from lib_lora.faces.array_types import Array, Box, Pixels
from lib_lora.faces.expression import Expression, expression
from lib_lora.faces.texture import Texture, texture
from lib_lora.faces.unjudgeable import LEAST_PX, Hidden

Fault = Literal["", "small", "blurred", "cut", "unsure"] | Hidden
LEAST_BLUR = 15
SECOND_FACE = 0.3  # share of a face's area from which another face in the picture may be the one that is meant
SURE = 0.75  # of YuNet's scores; clear faces have 0.89 to 0.95


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture.

    Attributes:
        box: left, top, width, height in pixels of the picture; may reach over its edge.
        points: 5 x 2 (x, y) in pixels: the person's right eye, left eye, nose tip, right and left corner of the mouth.
        score: how sure the detector is, 0..1.
        embedding: 128 numbers (SFace) or 512 (most of InsightFace's models), of unit length; the dot product of two of
            one engine is their cosine. Biometric data.
        blur: variance of the Laplacian of the aligned 112 x 112 crop in grey levels; small means blurred.
        shown: share of that crop that lies inside the picture, 0..1; less than 1 for a face cut off by the edge.
        crop: that crop, 112 x 112 x 3 RGB; None where an engine does not give it.
        eyes: colour of the irises (CIE L*, a*, b*); None where the face is too small to tell.
        age: in years, as the engine guesses it; None where it has no model for that.
        sex: "female" or "male", as the engine guesses it; None where it has no model for that.
        sure: the score from which this engine's detector is sure.
        hidden: what hides who it is (`unjudgeable.hidden`); empty where nothing does.
    """

    box: Box
    points: Array
    score: float
    embedding: Array
    blur: float
    shown: float = 1.0
    crop: Pixels | None = None
    eyes: tuple[float, float, float] | None = None
    age: float | None = None
    sex: str | None = None
    sure: float = SURE
    hidden: Hidden = ""

    @property
    def px(self) -> float:
        """Size in pixels: the longer side of the box."""
        return max(self.box[2], self.box[3])

    @property
    def area(self) -> float:
        """The area of its box, in square pixels."""
        return self.box[2] * self.box[3]

    @property
    def yaw(self) -> float:
        """How far the head is turned, -1..1 from the five points (`yaw_proxy`)."""
        return yaw_proxy(self.points)

    @property
    def roll(self) -> float:
        """How far the line through the eyes is tilted, in degrees, -180..180."""
        right, left = self.points[:2].astype(float)
        return math.degrees(math.atan2(left[1] - right[1], left[0] - right[0]))

    @property
    def expression(self) -> Expression:
        """What its mouth clearly does; empty where that is not clear, or an engine gives no crop."""
        return "" if self.crop is None else expression(self.crop, self.px, self.yaw, self.shown)

    @cached_property
    def quality(self) -> Quality:
        """How well it can be measured; found out once, for the audit and the template alike."""
        return Quality.of(self)


@dataclass(frozen=True)
class Quality:
    """How well a face can be measured; plain numbers that may be kept (no biometric data).

    Attributes:
        px: the longer side of the face's box in pixels.
        score: how sure the detector is, 0..1.
        blur, shown: see `Face`.
        yaw: see `yaw_proxy`.
        roll: in degrees.
        texture: of its surface; None where the engine gives no crop.
        eyes, age, sex, sure, hidden: see `Face`.
        expression: what the mouth clearly does (`expression.expression`); empty where it is not clear.
    """

    px: float
    score: float
    blur: float
    yaw: float
    shown: float = 1.0
    roll: float = 0.0
    texture: Texture | None = None
    eyes: tuple[float, float, float] | None = None
    age: float | None = None
    sex: str | None = None
    sure: float = SURE
    expression: Expression = ""
    hidden: Hidden = ""

    @classmethod
    def of(cls, face: Face) -> Quality:
        """The quality of `face`, rounded to what can be told apart."""
        return cls(
            px=round(face.px, 1),
            score=round(face.score, 3),
            blur=round(face.blur, 1),
            yaw=round(face.yaw, 3),
            shown=round(face.shown, 3),
            roll=round(face.roll, 1),
            texture=None if face.crop is None else texture(face.crop),
            eyes=face.eyes,
            age=face.age,
            sex=face.sex,
            sure=face.sure,
            expression=face.expression,
            hidden=face.hidden,
        )

    @property
    def fault(self) -> Fault:
        """What makes a likeness measured on this face mean little; empty where nothing speaks against it.

        Measured against the same face whole, sharp and at 200 pixels: at 48 pixels cosine 0.91, at 32 pixels 0.75;
        blurred by 4 pixels of the 112-pixel crop 0.68; with 66 % of the crop inside the picture 0.90, with 53 %
        0.82, with 33 % 0.71. A sharp face has a blur of some hundreds, one blurred by 3 pixels about 15.
        """
        if self.px < LEAST_PX:
            return "small"
        if self.blur < LEAST_BLUR:
            return "blurred"
        if self.shown < 0.6:
            return "cut"
        if self.hidden:
            return self.hidden
        return "unsure" if self.score < self.sure else ""

    @property
    def doubt(self) -> str:
        """The `fault` in words; empty where there is none."""
        return {
            "": "",
            "small": f"the face is only {self.px:.0f} pixels",
            "blurred": "the face is blurred",
            "cut": f"the edge of the picture cuts the face off ({self.shown:.0%} of it is shown)",
            "unsure": f"the detector is not sure that it is a face ({self.score:.2f})",
            "eyes covered": "something covers the eyes",
            "lower half covered": "something covers the lower half of the face",
            "heavily compressed": "heavy JPEG compression has spoilt the face",
            "posterised": "the picture has only a few colours (posterised)",
            "painted": "the face is painted or drawn, not like a photo",
        }[self.fault]


class FaceEngine(Protocol):
    """Anything that finds and describes faces. Embeddings of engines with different ids cannot be compared."""

    @property
    def id(self) -> str:
        """Names the engine, its procedure's version and its models' hashes."""

    @property
    def licence(self) -> str:
        """What its models' licences permit, in one line for reports."""

    def faces(self, image: Image.Image) -> list[Face]:
        """All faces of an upright picture, the largest first; an empty list where there is none."""


def yaw_proxy(points: Array) -> float:
    """Where the nose tip lies between the eyes, along the line through them.

    Args:
        points: 5 x 2, as in `Face`.

    Returns:
        0 for a frontal face; positive when the nose moves towards the picture's right (the person looks to their
        left); beyond +-1 the nose has passed an eye, clipped there. A proxy: not in degrees.
    """
    right, left, nose = (np.asarray(points[index], np.float64) for index in range(3))
    axis = left - right
    length = float(axis @ axis)
    if length <= 0:
        return 0.0
    along = float((nose - (right + left) / 2) @ axis) / length * 2
    return max(-1.0, min(1.0, along))
