"""Recognises and splits sheets: four pictures of one size in one file, as picture generators make them.

They are known by their seams. Along a seam the picture breaks off: its two sides differ far more than either does from
itself a little further in, and so along most of the line. That is measured in the four halves of the two lines through
the middle. A frame or a pole in the middle of one photo does not count: what lies on its two sides goes together.
Pure; knows nothing of faces or files. `bench/photos/sheets.py` measures how often it is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has them
Boxes = tuple[Box, Box, Box, Box]  # the upper two, then the lower two
Pixels = NDArray[np.float32]  # (rows, columns, 3), 0 to 255

MIN_SIDE = 512  # pixels of the longer side
MAX_ASPECT = 2.5  # long side to short side: beyond it, it is a panorama or a strip
_READ_SIDE = 1024  # pixels of the longer side; nothing finer is looked at
_GUTTER = 0.03  # of the side: the widest line between pictures
_OFF = 0.012  # of the side: how far from the middle a seam may lie
_EVEN = 12.0  # levels that a gutter's pixels may differ from its colour, on average
_SAME = 16.0  # levels that a gutter's columns may differ from each other
_BLOCKS = 16  # parts of half a seam that are judged apart
_MARGIN, _STRIP = 1, 2  # columns beside a seam: blurred ones that are left out, and those that are compared
# Shares of broken blocks in the half seams. A photo half in the sun, or two photos side by side, have two whole halves
# and chance in the others (together 0.44 at most); one above two has hardly any in the weakest.
_WEAKEST, _WEAKER_TWO, _SECOND_BEST = 0.1, 0.5, 0.5


@dataclass(frozen=True)
class Seam:
    """The likeliest vertical seam near the middle.

    Attributes:
        start: first column of the gutter.
        end: the column behind it; the same as `start` where the pictures touch.
        broken: in its upper and its lower half, the share along which the picture breaks off; 0 to 1.
    """

    start: int
    end: int
    broken: tuple[float, float]


def boxes(image: Image.Image) -> Boxes | None:
    """The four pictures of a sheet, without the line between them; None where `image` (RGB) is no such sheet."""
    if max(image.size) < MIN_SIDE or max(image.size) > MAX_ASPECT * min(image.size):
        return None
    factor = max(1, round(max(image.size) / _READ_SIDE))
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image, np.float32)
    upright = seam(pixels)
    if max(upright.broken) < _WEAKEST:
        return None  # most photos: no need for the other line
    level = seam(pixels.transpose(1, 0, 2))
    weakest, weak, second, _ = sorted((*upright.broken, *level.broken))
    if weakest < _WEAKEST or weakest + weak < _WEAKER_TWO or second < _SECOND_BEST:
        return None
    left, right = _cut(upright, factor, image.width)
    top, bottom = _cut(level, factor, image.height)
    width, height = image.size
    return (0, 0, left, top), (right, 0, width, top), (0, bottom, left, height), (right, bottom, width, height)


def _cut(line: Seam, factor: int, side: int) -> tuple[int, int]:
    """Where the first picture ends and the second begins, in pixels of the whole image."""
    start, end = line.start * factor, line.end * factor
    before, behind = side / 2 - start, end - side / 2
    if abs(before - behind) > 2 * factor and min(before, behind) >= -factor:
        # A wall of the gutter's colour lies on one side; the gutter itself is as wide on both.
        half = max(0.0, min(before, behind))
        start, end = round(side / 2 - half), round(side / 2 + half)
    if end - start < 2:
        # Where the pictures touch, they are equal halves, unless the measured seam is surely elsewhere.
        middle = side // 2 if abs(start - side / 2) <= 2 * factor else start
        return middle, middle
    return start - factor + 1, end + factor - 1  # an averaged column may hold some of the gutter


def seam(pixels: Pixels) -> Seam:
    """The likeliest vertical seam near the middle of `pixels`, and how clearly the picture breaks off there."""
    height, width = pixels.shape[:2]
    line = _gutter(pixels)
    if line is None:
        reach = max(2, round(width * _OFF))
        middle = width // 2
        steps = np.abs(np.diff(pixels[:, middle - reach - 1 : middle + reach + 1], axis=1)).mean(axis=(0, 2))
        column = middle - reach + int(steps.argmax())
        line = column, column
    crossing = max(2, round(height * _GUTTER / 2))  # rows in which the other seam lies
    upper, lower = pixels[: height // 2 - crossing], pixels[height // 2 + crossing :]
    return Seam(*line, (_broken(upper, *line), _broken(lower, *line)))


def _gutter(pixels: Pixels) -> tuple[int, int] | None:
    """Columns of one colour from top to bottom in the middle, with others beside them; None where there are none."""
    width = pixels.shape[1]
    reach, near = round(width * _GUTTER), max(2, round(width * _OFF))
    first = width // 2 - reach
    band = pixels[:, first : width // 2 + reach + 1]
    colours = np.median(band, axis=0)
    uneven = np.abs(band - colours).mean(axis=(0, 2))
    start = end = reach - near + int(uneven[reach - near : reach + near + 1].argmin())
    even = (uneven < _EVEN) & (np.abs(colours - colours[start]).max(axis=1) < _SAME)
    while start >= 0 and even[start]:
        start -= 1
    while end < len(even) and even[end]:
        end += 1
    start += 1
    if start == 0 or end == len(even) or not 0 < end - start <= reach:
        return None
    return first + start, first + end


def _broken(half: Pixels, start: int, end: int) -> float:
    """The share of a half seam along which its sides differ more than each from itself as far apart further in."""
    apart = end - start + 2 * _MARGIN + _STRIP

    def strip(first: int) -> Pixels:
        return np.asarray(half[:, first : first + _STRIP].mean(axis=1), np.float32)

    left, right = start - _MARGIN - _STRIP, end + _MARGIN
    across = np.abs(strip(left) - strip(right)).max(axis=1)
    within = np.abs(strip(left) - strip(left - apart)).max(axis=1)
    within = (within + np.abs(strip(right) - strip(right + apart)).max(axis=1)) / 2
    blocks = zip(np.array_split(across, _BLOCKS), np.array_split(within, _BLOCKS), strict=True)
    return float(np.mean([one.mean() > 1.5 * other.mean() + 6 for one, other in blocks]))
