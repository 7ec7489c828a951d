"""Turns the head in a picture that looks ahead a little to the left or the right.

A base model that is asked for another view paints another face. Painted over such a picture, it only has to make the
view plausible. The head is taken for half an ellipsoid with a nose, placed by the five points of the face, and turned
about its vertical axis; what lies around it fades into the picture as it was. Knows geometry; does not know who paints.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_lora.faces.array_types import Array

Plane = npt.NDArray[np.float32]

# All in distances of the eyes, which is what the five points give for the size of a head.
_WIDTH, _HEIGHT, _DEPTH = 1.15, 1.75, 1.035  # radii of the ellipsoid
_NOSE = 0.45  # how far the nose stands out; 0.22 wide, 0.38 high, its bridge 0.12 above its tip
_NOSE_WIDTH, _NOSE_HEIGHT, _BRIDGE = 0.22, 0.38, 0.12
_AXIS = 0.55  # of the depth between the eyes: so far behind them the head is turned about
_FADE = 1.5  # radii at which nothing moves any more; within one radius all does
_ROUNDS, _STEP = 12, 0.7  # of looking for where each pixel comes from


def turned(image: Image.Image, points: Array, degrees: float) -> Image.Image:
    """The head of an RGB picture turned about its vertical axis.

    Args:
        image: that shows a face from the front.
        points: of that face, 5 x 2, as in `faces.face.Face`.
        degrees: positive: the nose moves towards the picture's right. Beyond 40 too much is missing.

    Returns:
        A picture of the same size.
    """
    pixels = np.asarray(image, np.uint8)
    y, x = (np.asarray(plane, np.float32) for plane in np.mgrid[0 : image.height, 0 : image.width])
    head = _Head(points)
    source = x.copy()
    for _ in range(_ROUNDS):  # where a pixel goes is known; where it comes from is found by steps
        source -= _STEP * (head.moved(source, y, math.radians(degrees)) - x)
    moved = cv2.remap(pixels, source, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return Image.fromarray(np.asarray(moved, np.uint8))


class _Head:
    """Half an ellipsoid with a nose.

    Args:
        points: of the face, 5 x 2.
    """

    def __init__(self, points: Array) -> None:
        right, left, self.nose, *corners = np.asarray(points, np.float32)
        self.eyes = (right + left) / 2
        self.unit = max(1.0, float(np.linalg.norm(left - right)))
        self.middle = np.array([self.eyes[0], (self.eyes[1] + np.mean(corners, 0)[1]) / 2], np.float32)
        self.axis = _AXIS * float(self._depth(self.eyes[:1], self.eyes[1:])[0])

    def moved(self, x: Plane, y: Plane, angle: float) -> Plane:
        """Where the pixels of the columns `x` and the rows `y` go, as columns."""
        beside, depth = x - self.middle[0], self._depth(x, y) - self.axis
        goes = beside * math.cos(angle) + depth * math.sin(angle)
        share = np.clip((_FADE - np.sqrt(self._away(x, y))) / (_FADE - 1), 0, 1)
        return np.asarray(x + share * (goes - beside), np.float32)

    def _away(self, x: Plane, y: Plane) -> Plane:
        """The square of how many radii pixels are from the middle of the head."""
        across, down = (x - self.middle[0]) / _WIDTH, (y - self.middle[1]) / _HEIGHT
        return np.asarray((across**2 + down**2) / self.unit**2, np.float32)

    def _depth(self, x: Plane, y: Plane) -> Plane:
        """How far what pixels show lies before the middle of the head, in pixels."""
        skull = np.sqrt(np.clip(1 - self._away(x, y), 0, 1)) * _DEPTH
        across = (x - self.nose[0]) / (_NOSE_WIDTH * self.unit)
        down = (y - self.nose[1] + _BRIDGE * self.unit) / (_NOSE_HEIGHT * self.unit)
        return np.asarray((skull + _NOSE * np.exp(-(across**2 + down**2) / 2)) * self.unit, np.float32)
