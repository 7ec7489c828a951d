"""What can be measured of a picture, and the words that say it.

One set of thresholds for the captions of the training pictures and for judging whether a painted picture obeys. A
picture in between two words gets neither, so that the words mean something. Knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEFT, RIGHT, AHEAD = -0.13, 0.13, 0.06  # yaw: "ahead" is within +-0.06
CLEAR_YAW = 0.2  # from here on a face counts as turned beyond doubt
SMILE, WIDE_SMILE = 0.86, 0.91  # width of the mouth / distance of the eyes
CORNER = 0.12  # of the side: so large are the corners that tell the background
DARK, LIGHT = 85.0, 140.0  # mean luma of the two upper corners, 0..255
COLOURED = 45.0  # largest minus smallest channel of their mean colour, 0..255
DARK_HAIR, LIGHT_HAIR = 50.0, 115.0  # mean luma of the strip above the face's box
ALL = ("looking left", "looking ahead", "looking right", "serious", "smiling", "dark background", "light background",
       "coloured background", "dark hair", "light hair")  # fmt: skip
SUBJECT = "photo of a person"
EMPTY = 0.1  # share of captions without any of the words
KEEP = 0.75  # each word stays with this chance
STRANGE = 0.35  # share of captions with words that say nothing of the picture

# Words that people write and these pictures cannot teach: met at random, they learn to mean nothing, where untrained
# vectors would disturb the picture.
_OTHERS = (
    "woman", "man", "girl", "boy", "portrait", "close-up portrait photo", "upper body photo", "studio portrait",
    "soft daylight", "city street", "in a black coat", "autumn park", "three-quarter view", "indoors", "warm light",
    "wearing a white shirt", "beach", "bright sun", "evening", "neon lights", "in a red sweater", "sitting in a cafe",
    "blurry", "deformed", "extra limbs", "lowres", "film photo", "sharp focus", "detailed skin", "outdoors", "forest",
    "kitchen", "office", "snow", "rain", "window light", "wearing a hat", "wearing glasses", "long hair", "short hair",
    "freckles", "beard", "scarf", "blue jacket", "green dress", "suit and tie", "bad anatomy", "worst quality",
)  # fmt: skip
_SUBJECTS = ("photo of a person", "photo of a person", "photo of a woman", "photo of a man", "portrait of a person",
             "a photo of {}", "photo of {} woman", "photo of {} man", "{} person")  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Of one picture: `yaw` and `smile` as ratios to the distance of the eyes, the rest in levels 0..255."""

    yaw: float
    smile: float
    background: float
    chroma: float
    hair: float


def yaw(points: npt.NDArray[np.floating]) -> float:
    """(x of the nose - x of the middle of the eyes) / distance of the eyes; negative: towards the picture's left.

    `points` is 5 x 2 (right eye, left eye, nose, corners of the mouth), in any unit.
    """
    right, left, nose = np.asarray(points[:3], np.float64)
    return float((nose[0] - (right[0] + left[0]) / 2) / max(np.linalg.norm(left - right), 1e-6))


def smile(points: npt.NDArray[np.floating]) -> float:
    """Width of the mouth / distance of the eyes."""
    right, left, _, mouth_right, mouth_left = np.asarray(points, np.float64)
    return float(np.linalg.norm(mouth_left - mouth_right) / max(np.linalg.norm(left - right), 1e-6))


def _luma(rgb: npt.NDArray[np.floating]) -> float:
    return float(rgb @ np.array([0.299, 0.587, 0.114]))


def measure(pixels: npt.NDArray[np.uint8], points: npt.NDArray[np.floating], box: npt.NDArray[np.floating]) -> Measured:
    """Measure one picture.

    Args:
        pixels: S x S x 3 RGB.
        points: 5 x 2, fractions of the side.
        box: x, y, width, height of the face, fractions of the side.
    """
    side = pixels.shape[0]
    corner = max(1, round(side * CORNER))
    corners = np.concatenate([pixels[:corner, :corner], pixels[:corner, -corner:]]).reshape(-1, 3).mean(0)
    x, y, width, _ = (float(value) * side for value in box)
    bottom = int(np.clip(y, 2, side))
    top = max(0, bottom - max(2, round(side * 0.075)))
    left = int(np.clip(x + 0.2 * width, 0, side - 1))
    right = int(np.clip(x + 0.8 * width, left + 1, side))
    hair = pixels[top:bottom, left:right].reshape(-1, 3).mean(0)
    return Measured(yaw(points), smile(points), _luma(corners), float(np.ptp(corners)), _luma(hair))


def words(seen: Measured, serious: float = SMILE, smiling: float = WIDE_SMILE) -> list[str]:
    """The words that clearly hold for a picture; the mouth is narrower than `serious` or wider than `smiling`."""
    found = []
    if abs(seen.yaw) < AHEAD:
        found.append("looking ahead")
    elif not LEFT <= seen.yaw <= RIGHT:
        found.append("looking left" if seen.yaw < 0 else "looking right")
    if seen.smile < serious:
        found.append("serious")
    elif seen.smile > smiling:
        found.append("smiling")
    if seen.background < DARK:
        found.append("dark background")
    elif seen.background > LIGHT:
        found.append("light background")
    if seen.chroma > COLOURED and seen.background > DARK:
        found.append("coloured background")
    if seen.hair < DARK_HAIR:
        found.append("dark hair")
    elif seen.hair > LIGHT_HAIR:
        found.append("light hair")
    return found


def obeys(seen: Measured, word: str) -> bool:
    """Whether a painted picture does what `word` asks, by the thresholds of the captions."""
    return {
        "looking left": seen.yaw < LEFT,
        "looking right": seen.yaw > RIGHT,
        "looking ahead": LEFT <= seen.yaw <= RIGHT,
        "smiling": seen.smile > SMILE,
        "serious": seen.smile < SMILE,
        "dark background": seen.background < DARK,
        "light background": seen.background > LIGHT,
        "coloured background": seen.chroma > COLOURED and seen.background > DARK,
        "dark hair": seen.hair < DARK_HAIR,
        "light hair": seen.hair > LIGHT_HAIR,
    }[word]


def at_random(rng: np.random.Generator) -> list[str]:
    """Words for a caption without a picture; none that exclude each other."""
    kinds = (ALL[:3], ALL[3:5], ALL[5:7], ALL[7:8], ALL[8:])
    return [str(rng.choice(kind)) for kind in kinds if rng.random() < 0.7]


def mirrored(said: list[str]) -> list[str]:
    """The words of the mirrored picture."""
    swap = {"looking left": "looking right", "looking right": "looking left"}
    return [swap.get(word, word) for word in said]


def caption(said: list[str], rng: np.random.Generator) -> str:
    """A caption for one training step: words left out and shuffled, strange ones among them, or none at all."""
    strange = [str(_OTHERS[n]) for n in rng.integers(0, len(_OTHERS), rng.integers(1, 4))]
    if rng.random() < EMPTY:
        return ", ".join(strange) if rng.random() < 0.4 else ""
    kept = [word for word in said if rng.random() < KEEP]
    name = "".join(chr(97 + letter) for letter in rng.integers(0, 26, rng.integers(3, 6)))
    subject = str(_SUBJECTS[rng.integers(0, len(_SUBJECTS))]).format(name)
    parts = kept + (strange if rng.random() < STRANGE else [])
    rng.shuffle(parts)
    return ", ".join([subject, *parts])


def weight(seen: Measured) -> float:
    """How often a picture is drawn: what is rare and clear (turned, serious) more often."""
    share = 1.0
    if abs(seen.yaw) > CLEAR_YAW:
        share *= 2.5
    elif not LEFT <= seen.yaw <= RIGHT:
        share *= 1.5
    if seen.smile < SMILE:
        share *= 1.8
    return share
