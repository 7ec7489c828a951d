"""Measures the colour of the eyes, where a face is large enough to show it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from lib_lora.faces.array_types import Array, Pixels

LEAST = 60.0  # pixels between the eyes; an iris is about a seventh of that, and in less it is a few mixed pixels
_DISC = 0.06  # radius round the landmark as a share of the distance between the eyes: the iris without the white


def eye_colour(pixels: Pixels, points: Array) -> tuple[float, float, float] | None:
    """Median colour of the two irises, CIE L* 0..100, a* and b* about -128..127; None where it cannot be told.

    The darkest fifth (pupil, lashes) and the brightest fifth (reflections, white) are left out.

    Args:
        pixels: RGB picture.
        points: 5 x 2, as in `faces.face.Face`.
    """
    right, left = np.asarray(points[:2], np.float64)
    distance = float(np.linalg.norm(left - right))
    if distance < LEAST:
        return None
    radius = _DISC * distance
    found = [_disc(pixels, eye, radius) for eye in (right, left)]
    if any(len(part) < 10 for part in found):
        return None
    colours = np.concatenate(found)
    lab = cv2.cvtColor((colours[None].astype(np.float32)) / 255, cv2.COLOR_RGB2LAB)[0]
    order = np.argsort(lab[:, 0])
    middle = lab[order[len(lab) // 5 : len(lab) - len(lab) // 5]]
    light, a, b = np.median(middle, 0)
    return round(float(light), 1), round(float(a), 1), round(float(b), 1)


def delta_e(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Difference of two colours (CIE76): about 2 is just visible, 10 obvious."""
    return math.dist(one, other)


def _disc(pixels: Pixels, centre: Array, radius: float) -> Pixels:
    """The pixels (n x 3) within `radius` of `centre` that lie inside the picture."""
    height, width = pixels.shape[:2]
    x, y = float(centre[0]), float(centre[1])
    left, right = max(0, math.floor(x - radius)), min(width, math.ceil(x + radius) + 1)
    top, bottom = max(0, math.floor(y - radius)), min(height, math.ceil(y + radius) + 1)
    if left >= right or top >= bottom:
        return np.zeros((0, 3), np.uint8)
    rows, columns = np.mgrid[top:bottom, left:right]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return np.asarray(pixels[top:bottom, left:right][inside], np.uint8)
