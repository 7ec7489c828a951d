"""Finds the five points of a tilted head in the picture turned upright.

YuNet knows upright faces: of one turned by 20 degrees it gives points turned by 12, by 45 degrees ones turned by 20,
and of one on its side or its head any points at all, yet it is sure of the face. The embedding of such a crop is that
of somebody else (measured: cosine 0.94 to the upright face at 20 degrees, 0.8 at 30, 0.3 at 45, 0.1 from 60). So a face
that looks tilted, or of which the detector is not sure, is turned until it stands upright, and its points turned back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from lib_lora.faces.array_types import Array, Numbers, Pixels
from lib_lora.faces.engines.yunet import YuNet

Redetect = Callable[[YuNet, Pixels, Array], Array]
TILTED = 8.0  # degrees; upright heads are seen at up to 6
LEVEL = 3.0  # degrees at which a head stands upright
SURE = 0.9  # of the detector; of an upright, whole face it is at least that sure
BETTER = 0.03  # of the score, by which a quarter or half turn must be surer than no turn
_TURNS = 8  # how often at most; each leaves half of the tilt
_AROUND = 2.6  # times the face: the window that is turned
_FACE = 160  # pixels of the face in it while it is turned
_FINE = 320  # pixels of the face at most when the points are placed


def upright(detector: YuNet, pixels: Pixels, row: Array, redetect: Redetect) -> Array:
    """A face with its points found upright.

    Args:
        detector: YuNet.
        pixels: the RGB picture.
        row: 15 numbers of the face, as `YuNet.detect`.
        redetect: places the points of a face again (`detection.redetect`).

    Returns:
        `row` with its points by `redetect`, where it stands upright. Else the points of the turned face, its box about
        the same centre, and the higher of both scores.
    """
    seen = redetect(detector, pixels, row)
    tilt = roll(seen)
    if abs(tilt) < TILTED and row[14] >= SURE:
        return seen
    turn = _best_turn(detector, pixels, row)
    if turn is None or abs(turn[0]) < TILTED:
        return seen
    degrees, score, centre, size = turn
    face = min(float(size), float(_FINE))
    window, matrix = _window(pixels, centre, size, degrees, face)
    middle = window.shape[0] / 2
    found = row.copy()
    found[:4] = (middle - face / 2, middle - face / 2, face, face)
    found[4:14] = np.tile((middle, middle), 5)
    placed = redetect(detector, window, found)
    if np.ptp(placed[4:14:2]) == 0:  # the second look lost it
        return seen
    back = cv2.invertAffineTransform(matrix)
    points = placed[4:14].reshape(5, 2) @ back[:, :2].T + back[:, 2]
    result: Array = row.copy()
    result[:4] = (centre[0] - size / 2, centre[1] - size / 2, size, size)
    result[4:14] = points.reshape(-1)
    result[14] = max(float(row[14]), score)
    return result


def roll(row: Array) -> float:
    """Tilt of the line through the eyes of a row, in degrees, -180..180."""
    return math.degrees(math.atan2(float(row[7] - row[5]), float(row[6] - row[4])))


def _best_turn(detector: YuNet, pixels: Pixels, row: Array) -> tuple[float, float, Numbers, float] | None:
    """By how many degrees the face must be turned back, its score then, its centre and its size; None if none is."""
    centre = np.asarray(row[:2] + row[2:4] / 2, np.float64)
    size = float(row[2:4].max())
    starts = (0.0,) if row[14] >= SURE else (0.0, 90.0, 180.0, -90.0)
    begun = [(one, start) for start in starts if (one := _seen(detector, pixels, centre, size, start)) is not None]
    if not begun:
        return None
    found, degrees = max(begun, key=lambda one: float(one[0][14]) - (BETTER if one[1] else 0.0))
    for _ in range(_TURNS):
        tilt = roll(found)
        if abs(tilt) < LEVEL:
            break
        again = _seen(detector, pixels, centre, size, degrees + tilt)
        if again is None:
            break
        found, degrees = again, degrees + tilt
    across = (degrees + 180) % 360 - 180
    _, matrix = _window(pixels, centre, size, degrees, _FACE)
    back = cv2.invertAffineTransform(matrix)
    middle = back[:, :2] @ (found[:2] + found[2:4] / 2) + back[:, 2]
    return across, float(found[14]), middle, float(found[2:4].max()) * size / _FACE


def _seen(detector: YuNet, pixels: Pixels, centre: Numbers, size: float, degrees: float) -> Array | None:
    """The face in the middle of the window turned back by `degrees`, in the window's pixels."""
    window, _ = _window(pixels, centre, size, degrees, _FACE)
    rows = detector.detect(window)
    if not len(rows):
        return None
    away = np.abs(rows[:, :2] + rows[:, 2:4] / 2 - window.shape[0] / 2).max(1)
    nearest = int(away.argmin())
    return np.asarray(rows[nearest], np.float32) if away[nearest] < _FACE / 2 else None


def _window(pixels: Pixels, centre: Numbers, size: float, degrees: float, face: float) -> tuple[Pixels, Numbers]:
    """A square about a face, turned back by `degrees` and so large that the face has `face` pixels; black beyond the
    picture's edge. And the 2 x 3 matrix from the picture to it."""
    side = max(2, round(face * _AROUND))
    scale = face / size
    reach = size * _AROUND  # a turned square needs more than its own side, up to the root of two
    left, top = (max(0, int(value - reach)) for value in centre)
    right, bottom = (min(end, math.ceil(value + reach)) for value, end in zip(centre, pixels.shape[1::-1], strict=True))
    part = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    shrink = max(1, int(1 / scale))
    if shrink > 1:  # warping alone would pick single pixels
        small = (max(1, part.shape[1] // shrink), max(1, part.shape[0] // shrink))
        factor = np.array([small[0] / part.shape[1], small[1] / part.shape[0]])
        part = np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        factor = np.ones(2)
    turn = math.radians(-degrees)
    rotation = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = np.empty((2, 3))
    matrix[:, :2] = rotation
    matrix[:, 2] = side / 2 - rotation @ centre
    # from the part's pixels: x = left + (x_small + 0.5) / factor - 0.5
    offset = np.array([left, top]) + 0.5 / factor - 0.5
    moved = np.empty((2, 3))
    moved[:, :2] = rotation / factor
    moved[:, 2] = rotation @ offset + matrix[:, 2]
    return np.asarray(cv2.warpAffine(part, moved, (side, side), flags=cv2.INTER_LINEAR), np.uint8), matrix
