"""What a picture of one face visibly shows, in the words of `references.wanted`, as far as it can be measured.

Framing, angle, mouth and background; light and outfit cannot be measured here, and nothing is said of them. Where a
measurement lies between two words, nothing is said either. Pure functions; recognises nobody.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from lib_lora.likeness.arrays import Numbers, Pixels
from lib_lora.likeness.faces import Face
from lib_lora.likeness.traits import FRONTAL, TURNED

CLOSE, HALF = 0.35, 0.12  # height of the face / of the picture, from which a framing is called so
SERIOUS, SMILING = 0.86, 0.91  # width of the mouth / distance of the eyes, as in tools/mini/captions.py
DARK, LIGHT = 85.0, 140.0  # mean luma of the two upper corners, 0..255
COLOURED = 45.0  # largest minus smallest channel of their mean colour
_LUMA = np.array([0.299, 0.587, 0.114])
_CORNER = 0.12  # of the shorter side
_MOUTHS = {"serious": "serious", "smiling": "smiling", "laughing": "smiling"}
_GROUNDS = ("dark", "light", "coloured")


def shows(image: Image.Image, face: Face) -> dict[str, str]:
    """What can be measured, by kind: "framing", "angle", "mouth" and "background", those that are clear.

    Args:
        image: RGB, upright.
        face: the one in it.
    """
    found = {"framing": _framing(face.box[3] / image.height)}
    if abs(face.yaw) < FRONTAL:
        found["angle"] = "ahead"
    elif abs(face.yaw) > TURNED:
        found["angle"] = "left" if face.yaw < 0 else "right"
    right, left, _, one, other = np.asarray(face.points, np.float64)
    mouth = float(np.linalg.norm(one - other) / max(1e-6, float(np.linalg.norm(right - left))))
    if "angle" in found and found["angle"] == "ahead":  # a turned head makes the eyes' distance shorter
        found |= {"mouth": "serious"} if mouth < SERIOUS else {"mouth": "smiling"} if mouth > SMILING else {}
    return found | _background(np.asarray(image.convert("RGB"), np.uint8))


def contradicts(shown: dict[str, str], kind: str, value: str) -> bool:
    """Whether a measurement says that a picture does not show what it was asked for.

    Args:
        shown: by `shows`.
        kind, value: what was asked for, in the words of `references.wanted`.
    """
    if kind == "expression":
        return "mouth" in shown and shown["mouth"] != _MOUTHS.get(value, shown["mouth"])
    if kind == "background" and value not in _GROUNDS:
        return False
    return kind in shown and shown[kind] != value


def _framing(share: float) -> str:
    return "close" if share > CLOSE else "half" if share > HALF else "full"


def _background(pixels: Pixels) -> dict[str, str]:
    corner = max(1, round(min(pixels.shape[:2]) * _CORNER))
    colour: Numbers = (
        np.concatenate([pixels[:corner, :corner], pixels[:corner, -corner:]]).reshape(-1, 3).mean(0).astype(np.float64)
    )
    luma = float(colour @ _LUMA)
    if luma < DARK:
        return {"background": "dark"}
    if float(np.ptp(colour)) > COLOURED:
        return {"background": "coloured"}
    return {"background": "light"} if luma > LIGHT else {}
