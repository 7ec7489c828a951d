"""Detection at several sizes: one row for each face, with the five points from the size that shows it best.

YuNet misplaces the five points of faces larger than about 300 pixels (a face of 800 pixels then embeds like
another person), and places them coarsely on faces under 60.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.likeness.align import Pixels
from lib_lora.likeness.faces import Array
from lib_lora.likeness.yunet import YuNet

SIDES = (640, 320, 160)  # longest side in pixels at which the detector looks; never larger than the picture
TARGET = (60.0, 250.0)  # face size in the detector's pixels at which its five points are trusted
PAD = 0.4  # black border on each side, as a share of the picture, for faces that fill it
_XY = np.array([0, 1, *range(4, 14)])  # the columns of a row that are places


def find(detector: YuNet, pixels: Pixels) -> Array:
    """The faces of an RGB picture, surest first.

    Returns:
        n x 15 in pixels of the picture, as `YuNet.detect`.
    """
    base, factor = _fitted(pixels, max(SIDES))
    found = _at_all_sides(detector, base)
    if not len(found):
        down, across = round(base.shape[0] * PAD), round(base.shape[1] * PAD)
        padded = np.asarray(cv2.copyMakeBorder(base, down, down, across, across, cv2.BORDER_CONSTANT), np.uint8)
        found = _at_all_sides(detector, padded)
        found[:, _XY] -= np.tile(np.float32([across, down]), 6)
    return _scaled(found, factor)


def _at_all_sides(detector: YuNet, pixels: Pixels) -> Array:
    longest = max(pixels.shape[:2])
    rows, sizes = [], []
    for side in sorted({min(side, longest) for side in SIDES}):
        small, factor = _fitted(pixels, side)
        found = detector.detect(small)
        rows.append(_scaled(found, factor))
        sizes.append(found[:, 2:4].max(1, initial=0.0))
    return best_of_clusters(np.concatenate(rows), np.concatenate(sizes))


def best_of_clusters(rows: Array, sizes: Array) -> Array:
    """Of the rows that show one face, the one with the highest score; a face size within `TARGET` goes first.

    Two rows show one face when their boxes' IoU is above 0.3, or one lies by more than 60 % inside the other.

    Args:
        rows: n x 15 as in `find`.
        sizes: n, the face's longer side in the pixels the detector saw.
    """
    trusted = (sizes >= TARGET[0]) & (sizes <= TARGET[1])
    kept: list[int] = []
    for index in np.lexsort((-rows[:, 14], ~trusted)):
        if not any(_same(rows[index], rows[other]) for other in kept):
            kept.append(int(index))
    return rows[kept]


def _same(one: Array, other: Array) -> bool:
    corner = np.maximum(one[:2], other[:2])
    end = np.minimum(one[:2] + one[2:4], other[:2] + other[2:4])
    common = float(np.prod(np.maximum(end - corner, 0)))
    areas = float(np.prod(one[2:4])), float(np.prod(other[2:4]))
    return common > 0.3 * (sum(areas) - common) or common > 0.6 * min(areas)


def _fitted(pixels: Pixels, side: int) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """The picture shrunk so that its longest side is at most `side`, and (x, y) factors back to its own pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    factor = np.float32([width / small[0], height / small[1]])
    if small == (width, height):
        return pixels, factor
    return np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), np.uint8), factor


def _scaled(rows: Array, factor: npt.NDArray[np.float32]) -> Array:
    rows = rows.copy()
    rows[:, :14] *= np.tile(factor, 7)
    return rows
