"""Detects writing laid over a photo (watermarks, captions, dates) by its shapes; it reads nothing.

Letters of an overlay are small shapes of one plain colour, of nearly one height, side by side on one line, and brighter
or darker than what is around them. Photographed signs have them too, which are worth a look as well.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 768  # pixels: the longer side at which it looks
HEIGHTS = (7, 96)  # pixels of a letter at that size
CONTRASTS = (24, 60, 110)  # grey levels between a letter and what is around it; at each, other letters come apart
ENOUGH = 30  # letters; a page full of them need not be counted
PLAIN = 0.1  # standard deviation of a letter's clearest part / its contrast
_CLEAREST = 0.4  # share of a letter's pixels; its edges are blurred
_SMALL_FACE = 64  # pixels at that size: of so small a face the hair and the clothes look like letters too
_AROUND = 1.5  # times its width and height that are left out beside and above it; beneath it twice that
_STROKES = (15, 41)  # pixels: what is thinner may be a stroke

Share = tuple[float, float, float, float]
Box = tuple[int, int, int, int]
Grey = npt.NDArray[np.uint8]


def letters_in_a_row(image: Image.Image, face: Share | None = None) -> int:
    """How many letters the longest line of writing has; photos without any have up to 3 shapes that look like it.

    Args:
        image: RGB, upright.
        face: left, top, width, height as shares; teeth and lashes in it are no letters, nor is what surrounds a small
            one. None: nothing is left out.
    """
    small = image.copy() if max(image.size) <= SIDE else image.reduce(max(1, max(image.size) // SIDE))
    small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small.convert("L"), np.uint8)
    if face is not None and max(face[2] * small.width, face[3] * small.height) < _SMALL_FACE:
        left, top, width, height = face
        face = (
            left - _AROUND * width,
            top - _AROUND * height,
            (1 + 2 * _AROUND) * width,
            (1 + 3 * _AROUND) * height,
        )
    return max((_longest(_shapes(strokes, grey, face)) for strokes in _strokes(grey)), default=0)


def _strokes(grey: Grey) -> Iterator[Grey]:
    """How much brighter, and how much darker, each pixel is than what is around it."""
    for size in _STROKES:
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))
        for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            yield np.asarray(cv2.morphologyEx(grey, way, kernel), np.uint8)


def _shapes(strokes: Grey, grey: Grey, face: Share | None) -> list[Box]:
    """What may be letters, from left to right."""
    found = set()
    for contrast in CONTRASTS:
        count, labels, table, _ = cv2.connectedComponentsWithStats((strokes > contrast).astype(np.uint8))
        left, top, width, height, area = (np.asarray(table[:count, column], np.int64) for column in range(5))
        likely = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1]) & (width >= 2) & (width <= 2.5 * height)
        likely &= area >= 0.12 * width * height
        if face is not None:
            x, y = (left + width / 2) / grey.shape[1], (top + height / 2) / grey.shape[0]
            likely &= (x < face[0]) | (x > face[0] + face[2]) | (y < face[1]) | (y > face[1] + face[3])
        for label in np.flatnonzero(likely[1:]) + 1:
            box = (int(left[label]), int(top[label]), int(width[label]), int(height[label]))
            place = (slice(box[1], box[1] + box[3]), slice(box[0], box[0] + box[2]))
            inside = labels[place] == label
            if _is_plain(grey[place][inside], strokes[place][inside]):
                found.add(box)
    return sorted(found)


def _is_plain(grey: Grey, strokes: Grey) -> bool:
    """Whether a shape has one plain colour where its strokes are clearest.

    By sorting: ``np.quantile`` and ``np.median`` give the same, and take half of the time of looking at a photo, which
    has hundreds of such small shapes.
    """
    ordered = np.sort(strokes)
    last = len(ordered) - 1
    clearest = grey[strokes >= ordered[math.ceil(last * (1 - _CLEAREST))]].astype(np.float32)
    median = (int(ordered[last // 2]) + int(ordered[(last + 1) // 2])) / 2
    return float(clearest.std()) <= PLAIN * median


def _longest(boxes: list[Box]) -> int:
    """The number of boxes in the longest line that boxes of nearly one height make side by side; `ENOUGH` of more."""
    longest = 0
    feet = sorted(boxes, key=_foot)
    for one in boxes:
        reach = max(2.0, 0.12 * one[3])
        near = feet[
            bisect_left(feet, _foot(one) - reach, key=_foot) : bisect_right(feet, _foot(one) + reach, key=_foot)
        ]
        line = sorted(other for other in near if _of_one_line(one, other))
        run, last = 1, line[0]
        for box in line[1:]:
            gap = box[0] - last[0] - last[2]
            if gap < -0.2 * one[3]:
                continue  # the same letter at another contrast
            run, last = run + 1 if gap <= 1.2 * one[3] else 1, box
            longest = max(longest, run)
        if longest >= ENOUGH:
            break
    return longest


def _foot(box: Box) -> int:
    return box[1] + box[3]


def _of_one_line(one: Box, other: Box) -> bool:
    """Whether two boxes stand on one line: feet together, heads nearly (small letters are lower than capitals)."""
    height = one[3]
    return abs(one[1] + height - other[1] - other[3]) <= max(2, 0.12 * height) and abs(one[1] - other[1]) <= max(
        2, 0.35 * height
    )
