"""Finds, from where the face is, which pixels surround it and which show background or clothes.

Two regions, for two questions. The *surroundings* are all but the face: how varied a set of test pictures is, clothes
and all. The *background* has the body cut out too: whether photos were taken before the same wall, whatever was worn.
In a close-up it is a tenth of the picture or less, too little to say that two pictures look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib_lora.faces.array_types import Mask

Share = tuple[float, float, float, float]
_ENOUGH = 0.08  # share of the photo that must be left beside the person; else the upper corners are looked at
_CORNER = (0.35, 0.14)  # height and width of an upper corner, as shares of the photo


def surroundings(width: int, height: int, box: Sequence[float] | None) -> Mask:
    """All but the face and half its size around it (hair, neck), height x width; all of it where there is no face, or
    nothing else.

    Args:
        width, height: of the picture in pixels.
        box: left, top, width and height of the face in these.
    """
    mask = np.ones((height, width), np.bool_)
    if box is not None:
        left, top, across, down = box
        rows = slice(max(0, round(top - down / 2)), max(0, round(top + down * 1.5)))
        mask[rows, max(0, round(left - across / 2)) : max(0, round(left + across * 1.5))] = False
    return mask if mask.any() else np.ones((height, width), np.bool_)


def background(width: int, height: int, face: Share | None) -> Mask:
    """What is neither head nor body, height x width; all of it where there is no face.

    Args:
        width, height: of the photo in pixels.
        face: left, top, width and height as shares of the photo. Half a face around it counts as head (hair), and three
            faces' width beneath the chin as body. A close-up leaves nothing then, and its upper corners are taken.
    """
    if face is None:
        return np.ones((height, width), np.bool_)
    x, y = _places(width, height)
    left, top, across, down = face
    head = (x > left - across / 2) & (x < left + 1.5 * across) & (y > top - down / 2)
    body = (x > left - across) & (x < left + 2 * across) & (y > top + down)
    beside = ~(head | body)
    if beside.mean() >= _ENOUGH:
        return beside
    inside = (x > left) & (x < left + across) & (y > top)
    corners = (y < _CORNER[0]) & ((x < _CORNER[1]) | (x > 1 - _CORNER[1])) & ~inside
    return corners if corners.any() else np.ones((height, width), np.bool_)


def clothes(width: int, height: int, face: Share | None) -> Mask:
    """What lies beneath the face: from half its height under it, three times as wide; none where there is no face."""
    if face is None:
        return np.zeros((height, width), np.bool_)
    x, y = _places(width, height)
    left, top, across, down = face
    return (x > left - across) & (x < left + 2 * across) & (y > top + 1.5 * down) & (y < top + 4 * down)


def _places(width: int, height: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the middle of each pixel lies, as shares of the photo."""
    return (np.arange(width)[None, :] + 0.5) / width, (np.arange(height)[:, None] + 0.5) / height
