"""Detects faces at several sizes, each with five points that do not depend on the picture's size.

YuNet misplaces the five points of a face larger than about 300 pixels, and places those of a small face coarsely;
a misplaced point makes the embedding look like another person. So each face that was found is looked at again, at
three sizes that suit the detector, and the points are averaged. Measured on 15 synthetic portraits, the cosine
between a face at 800 and at 200 pixels: at least 0.98, without the second look 0.95, naively 0.63 to 0.80; a face
of 60 pixels in a large picture against itself at 200: 0.93, without the second look 0.73. A tilted head is turned
upright for it (`upright`).
"""

from __future__ import annotations

import cv2
import numpy as np

from lib_lora.faces.array_types import Array, Pixels
from lib_lora.faces.engines.upright import upright
from lib_lora.faces.engines.yunet import YuNet

SIDES = (640, 320, 160)  # longest side in pixels at which the detector looks; never larger than the picture
LARGER = 1280  # where nothing was found: small faces in a large picture
TARGET = (60.0, 250.0)  # face size in the detector's pixels at which its answer is trusted most
SIDEWAYS = 0.75  # score from which a face is believed that shows only when the picture is turned by a quarter or half
PAD = 0.4  # where still nothing was found: black border as a share of the picture, for faces that fill it
SECOND_SIZES = (112, 160, 208)  # face sizes in the detector's pixels for the second look
_WINDOW = 2  # the second look sees this many times the face
_ENOUGH = 1024  # pixels of a window; more than twice what the largest look needs


def find(detector: YuNet, pixels: Pixels) -> Array:
    """The faces of an RGB picture, surest first.

    Returns:
        n x 15 in pixels of the picture, as `YuNet.detect`; the score is the first look's.
    """
    rows = _at_sides(detector, pixels, SIDES)
    if not len(rows) and max(pixels.shape[:2]) > SIDES[0]:
        rows = _at_sides(detector, pixels, (LARGER,))
    if not len(rows):
        rows = _with_border(detector, pixels)
    if not len(rows):
        return _on_its_side(detector, pixels)
    return np.stack([upright(detector, pixels, row, redetect) for row in rows])


def _on_its_side(detector: YuNet, pixels: Pixels) -> Array:
    """The faces of a picture in which none stands upright; only those that the detector is sure of."""
    height, width = pixels.shape[:2]
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(pixels, quarters))
        rows = _at_sides(detector, turned, SIDES)
        rows = rows[rows[:, 14] >= SIDEWAYS]
        if len(rows):
            found = np.stack([upright(detector, turned, row, redetect) for row in rows])
            return _turned_back(found, quarters, width, height)
    return rows


def _turned_back(rows: Array, quarters: int, width: int, height: int) -> Array:
    """Rows of a picture that was turned by quarters anticlockwise (`np.rot90`), in the pixels of the one before."""
    x, y = rows[:, 4:14:2], rows[:, 5:14:2]
    left, top, across, down = rows[:, :4].T
    place = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[quarters]
    corner = {
        1: (width - top - down, left, down, across),
        2: (width - left - across, height - top - down, across, down),
        3: (top, height - left - across, down, across),
    }[quarters]
    result: Array = rows.copy()
    result[:, 4:14:2], result[:, 5:14:2] = place
    result[:, :4] = np.stack(corner, 1)
    return result


def redetect(detector: YuNet, pixels: Pixels, row: Array) -> Array:
    """`row` with its five points averaged over `SECOND_SIZES`; unchanged where no look sees the face again."""
    step = int(row[2:4].max()) * _WINDOW // _ENOUGH
    if step > 1:  # a huge face: average step x step pixels first, and a window of it takes little memory
        height, width = (length // step for length in pixels.shape[:2])
        part = pixels[: height * step, : width * step]
        small = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        up = _pair(step, step)
        seen_small = redetect(detector, small, _scaled(row[None], _pair(1 / step, 1 / step))[0])
        return np.asarray(_scaled(seen_small[None], up)[0], np.float32)
    size = max(2, round(float(row[2:4].max()) * _WINDOW))
    left, top = (round(float(value) - size / 2) for value in row[:2] + row[2:4] / 2)
    window = _cut(pixels, left, top, size)
    seen = []
    for face in SECOND_SIZES:
        side = face * _WINDOW
        way = cv2.INTER_AREA if side < size else cv2.INTER_LINEAR
        found = detector.detect(np.asarray(cv2.resize(window, (side, side), interpolation=way), np.uint8))
        if not len(found):
            continue
        distance = np.abs(found[:, :2] + found[:, 2:4] / 2 - side / 2).max(1)
        nearest = int(distance.argmin())
        if distance[nearest] < face / 3:
            seen.append(_scaled(found[nearest : nearest + 1], _pair(size / side, size / side))[0, 4:14])
    if not seen:
        return row
    result: Array = row.copy()
    result[4:14] = np.mean(seen, 0) + np.tile(_pair(left, top), 5)
    return result


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


def _at_sides(detector: YuNet, pixels: Pixels, sides: tuple[int, ...]) -> Array:
    longest = max(pixels.shape[:2])
    rows, sizes = [], []
    base, base_factor = _fitted(pixels, max(sides))  # the smaller ones are made from it: quicker for huge pictures
    for side in sorted({min(side, longest) for side in sides}):
        small, factor = _fitted(base, side)
        found = detector.detect(small)
        rows.append(_scaled(found, factor * base_factor))
        sizes.append(found[:, 2:4].max(1, initial=0.0))
    return best_of_clusters(np.concatenate(rows), np.concatenate(sizes))


def _with_border(detector: YuNet, pixels: Pixels) -> Array:
    small, factor = _fitted(pixels, SIDES[0])
    down, across = round(small.shape[0] * PAD), round(small.shape[1] * PAD)
    padded = cv2.copyMakeBorder(small, down, down, across, across, cv2.BORDER_CONSTANT)
    rows = _at_sides(detector, np.asarray(padded, np.uint8), SIDES)
    border = np.zeros(15, np.float32)
    border[[0, 4, 6, 8, 10, 12]], border[[1, 5, 7, 9, 11, 13]] = across, down
    return _scaled(rows - border, factor)


def _same(one: Array, other: Array) -> bool:
    corner = np.maximum(one[:2], other[:2])
    end = np.minimum(one[:2] + one[2:4], other[:2] + other[2:4])
    common = float(np.prod(np.maximum(end - corner, 0)))
    areas = float(np.prod(one[2:4])), float(np.prod(other[2:4]))
    return common > 0.3 * (sum(areas) - common) or common > 0.6 * min(areas)


def _cut(pixels: Pixels, left: int, top: int, size: int) -> Pixels:
    """A square of the picture; black where it reaches over the edge."""
    part = pixels[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
    square = np.zeros((size, size, 3), np.uint8)
    down, across = max(0, -top), max(0, -left)
    square[down : down + part.shape[0], across : across + part.shape[1]] = part
    return square


def _fitted(pixels: Pixels, side: int) -> tuple[Pixels, Array]:
    """The picture shrunk so that its longest side is at most `side`, and (x, y) factors back to its own pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    factor = _pair(width / small[0], height / small[1])
    if small == (width, height):
        return pixels, factor
    return np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), np.uint8), factor


def _scaled(rows: Array, factor: Array) -> Array:
    """Rows in a picture that is larger by `factor` (x, y): lengths times it, places by pixel centres."""
    result: Array = rows.copy()
    shift = (factor - 1) / 2
    result[:, :14] *= np.tile(factor, 7)
    result[:, :2] += shift
    result[:, 4:14] += np.tile(shift, 5)
    return result


def _pair(x: float, y: float) -> Array:
    return np.array([x, y], np.float32)
