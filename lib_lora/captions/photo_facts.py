"""Holds what was measured of a photo: plain numbers that may be kept (no biometrics).

Knows no engine and no rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lib_lora.faces.expression import Expression

SMALL_FACE = 64  # pixels of a face's longer side; of a smaller one little can be seen
BINS = 128  # of a colour histogram (`faces.picture_descriptors.colours`)


@dataclass(frozen=True)
class FaceFacts:
    """One face in a photo.

    Attributes:
        box: left, top, width, height as shares of the photo; may reach over its edge.
        px: the longer side of the box in pixels of the photo.
        score: how sure the detector is, 0..1; from `sure` on it is trusted.
        sure: see `score`.
        blur: variance of the Laplacian of the aligned face at 112 pixels, in grey levels; small means blurred.
        yaw: how far the head is turned, -1..1; positive towards the picture's right (`faces.face.yaw_proxy`).
        roll: tilt of the line through the eyes, in degrees, -180..180.
        shown: share of the aligned face that lies inside the photo, 0..1.
        light: mean grey level of the aligned face, 0..255.
        warmth: mean of its blue-to-yellow axis (CIE b*), about -20 (blue light) .. 40 (candles).
        side: how much brighter its right half is than its left, as a share of `light`.
        white, black: shares of its pixels that are clipped, 0..1.
        expression: what the mouth clearly does (`faces.expression`); empty where that is not clear.
    """

    box: tuple[float, float, float, float]
    px: float
    score: float
    sure: float
    blur: float
    yaw: float
    roll: float = 0.0
    shown: float = 1.0
    light: float = 128.0
    warmth: float = 0.0
    side: float = 0.0
    white: float = 0.0
    black: float = 0.0
    expression: Expression = ""

    def __post_init__(self) -> None:
        if len(self.box) != 4 or min(self.box[2:]) <= 0:
            raise ValueError("the box of a face is four numbers, and its size is above zero.")

    @property
    def area(self) -> float:
        """The box's area as a share of the photo's."""
        return self.box[2] * self.box[3]

    @property
    def height(self) -> float:
        """The box's height as a share of the photo's height."""
        return self.box[3]


@dataclass(frozen=True)
class PhotoFacts:
    """One photo, by itself.

    Attributes:
        width, height: in pixels, upright; 0 where it cannot be read.
        unreadable: the sentence that says why; empty where it can.
        faces: the largest first.
        hash: perceptual hash, 16 hexadecimal digits (`faces.picture_descriptors.phash`).
        sharp: variance of the Laplacian of the whole photo at 512 pixels, in grey levels.
        level: mean grey level of what surrounds the face, 0..255.
        backdrop: colour histogram of that: shares that add up to 1.
        clothes: the same of what lies beneath the face; empty where the photo ends there.
        letters: how many letters of one size stand in a row somewhere; 0 = no writing was found.
        colour: how far its colours spread, the mean of the standard deviations of CIE a* and b*; 0 = grey.
        inks: its pixels are inks for printing (CMYK).
        file_bytes: the length of its file.
    """

    width: int
    height: int
    unreadable: str = ""
    faces: list[FaceFacts] = field(default_factory=list)
    hash: str = ""
    sharp: float = 0.0
    level: float = 0.0
    backdrop: list[float] = field(default_factory=list)
    clothes: list[float] = field(default_factory=list)
    letters: int = 0
    colour: float = 0.0
    inks: bool = False
    file_bytes: int = 0

    def __post_init__(self) -> None:
        if self.hash and not re.fullmatch("[0-9a-f]{1,16}", self.hash):
            raise ValueError(f"{self.hash[:40]!r} is not a picture hash.")
        if not self.unreadable and min(self.width, self.height) < 1:
            raise ValueError("a photo that can be read has pixels.")
        if {len(self.backdrop), len(self.clothes)} - {0, BINS}:
            raise ValueError(f"a histogram has {BINS} shares.")

    @property
    def face(self) -> FaceFacts | None:
        """The largest face."""
        return self.faces[0] if self.faces else None

    @property
    def short_side(self) -> int:
        """The photo's shorter side in pixels."""
        return min(self.width, self.height)


@dataclass(frozen=True)
class PhotoComparison:
    """How a photo stands to the others of its character.

    Attributes:
        likeness: cosine of its face to the mean of the others' (leave one out), -1..1; None where there is none.
        usual: the median of that over all photos.
        unlike: the template finds it unlike the others (`likeness.measure.template.Reference.outlier`).
        left_out: for that it is no part of the template, so likeness is measured without it.
        copy_of: file name of a better photo that shows the same picture; empty where there is none.
        burst_of: file name of a better photo taken in the same moment; empty where there is none.
        alike: cosine of its face to that one's; None where there is none, or where a third photo links the two.
        same_as: file name of another file with the same bytes; empty where there is none.
        reach: how like this person strangers can be; None where that is not known.
    """

    likeness: float | None = None
    usual: float | None = None
    unlike: bool = False
    left_out: bool = False
    copy_of: str = ""
    burst_of: str = ""
    alike: float | None = None
    same_as: str = ""
    reach: float | None = None

    @property
    def stranger(self) -> bool:
        """Whether it may show another person: unlike the others, and no more like them than strangers can be."""
        return self.unlike and (self.reach is None or (self.likeness or 0.0) < self.reach)


@dataclass(frozen=True)
class AuditedPhoto:
    """One photo of a character, with all that is known of it."""

    file: str
    sha256: str
    facts: PhotoFacts
    comparison: PhotoComparison = field(default_factory=PhotoComparison)
