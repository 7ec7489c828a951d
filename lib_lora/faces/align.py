"""Aligns a face: computes from its five points the 112 x 112 crop that recognisers expect.

Needs only numpy and OpenCV.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.errors import Misfit
from lib_lora.faces.array_types import Array, Pixels

SIZE = 112
# Where ArcFace, SFace and their kin expect right eye, left eye, nose, right and left corner of the mouth.
PLACES = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float64
)


def similarity(points: Array) -> npt.NDArray[np.float64]:
    """The 2 x 3 matrix (rotation, one scale, shift) that brings `points` (5 x 2) closest to `PLACES`.

    Least squares over w = a z + b in complex numbers: a = sum(conj(z) w) / sum(|z|^2) about the means, which is
    Umeyama's solution (1991) in two dimensions and what OpenCV's ``alignCrop`` computes.

    Raises:
        ValueError: the points coincide or are not finite.
    """
    if not np.isfinite(points).all():
        raise Misfit("five points of which some are not finite", "points")
    source = np.asarray(points, np.float64) @ (1, 1j)
    target = PLACES @ (1, 1j)
    centred = source - source.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread < 1e-9:
        raise Misfit("five points at one place", "points")
    turn = complex(np.sum(centred.conj() * (target - target.mean())) / spread)
    shift = complex(target.mean() - turn * source.mean())
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def crop(pixels: Pixels, points: Array) -> Pixels:
    """The aligned face, 112 x 112 x 3, from the full-resolution picture; black where the picture ends.

    A face much larger than the crop is first shrunk by whole-pixel averages: warping alone would pick single pixels
    (aliasing), and the same face would embed differently at 800 and at 200 pixels.

    Raises:
        ValueError: the points coincide or are not finite.
    """
    matrix = similarity(points)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    shrink = 1.0 / scale
    if shrink < 2.0:
        return _warp(pixels, matrix)
    # The part of the picture that the crop shows, with a margin, made about twice the crop's resolution.
    corners = np.array([(x, y, 1.0) for x in (-4.0, SIZE + 4.0) for y in (-4.0, SIZE + 4.0)])
    back = cv2.invertAffineTransform(matrix)
    area = corners @ back.T
    height, width = pixels.shape[:2]
    left, top = (int(value) for value in np.clip(np.floor(area.min(0)), 0, (width - 1, height - 1)))
    right, bottom = (int(value) for value in np.clip(np.ceil(area.max(0)), (left + 1, top + 1), (width, height)))
    part = pixels[top:bottom, left:right]
    small = (max(1, round(part.shape[1] * 2 / shrink)), max(1, round(part.shape[0] * 2 / shrink)))
    factor = np.array(small) / (part.shape[1], part.shape[0])
    reduced = np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA), np.uint8)
    # Pixel centres: x_full = left + (x_small + 0.5) / factor - 0.5
    offset = np.array([left, top]) + 0.5 / factor - 0.5
    moved = np.empty((2, 3))
    moved[:, :2] = matrix[:, :2] / factor
    moved[:, 2] = matrix[:, :2] @ offset + matrix[:, 2]
    return _warp(reduced, moved)


def _warp(pixels: Pixels, matrix: npt.NDArray[np.float64]) -> Pixels:
    return np.asarray(cv2.warpAffine(pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR), np.uint8)


def share_inside(points: Array, width: int, height: int) -> float:
    """Share of the aligned crop that lies inside a picture of width x height, 0..1; the rest of the crop is black.

    Raises:
        ValueError: the points coincide or are not finite.
    """
    back = cv2.invertAffineTransform(similarity(points))
    places = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).reshape(-1, 2) @ back[:, :2].T + back[:, 2]
    inside = (places >= -0.5) & (places <= np.array([width, height]) - 0.5)
    return float(inside.all(1).mean())


def blur(aligned: Pixels) -> float:
    """Variance of the Laplacian of an aligned RGB crop's grey levels; photos of faces: some hundreds and more."""
    grey = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
