"""Compares whole pictures without recognising anyone: near copies, and how varied a set is.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_lora.faces import picture_regions
from lib_lora.faces.array_types import Array, Box, Pixels
from lib_lora.faces.picture_descriptors import colours, hamming, hellinger

COPY_BITS = 8  # of 64: pictures whose perceptual hashes differ in fewer are copies of each other
COPY_SSIM = 0.85  # of two aligned faces; different portraits of one person reach 0.88, but then not in the hash


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of two grey pictures of one size, -1..1 (Wang et al. 2004, Gaussian of sigma 1.5)."""
    x, y = (part.astype(np.float64) for part in (one, other))

    def local(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))[5:-5, 5:-5].mean())


def surroundings(image: Image.Image, box: Box | None) -> Array:
    """Colour histogram of all but the face, clothes too: 128 shares that add up to 1.

    Args:
        image: RGB.
        box: of the face in its pixels; half its size around it is left out too (hair, neck). None: nothing is.
    """
    small = image.convert("RGB")
    small.thumbnail((128, 128))
    scaled = None if box is None else [value * small.width / image.width for value in box]
    return colours(small, picture_regions.surroundings(small.width, small.height, scaled))


def variety(hashes: Sequence[int], around: Sequence[Array]) -> float | None:
    """How varied a set of pictures is, 0 (all alike) .. 1; None for fewer than two.

    The mean over all pairs of half the distance of the surroundings (`hellinger`) and half the hashes' distance of 32
    bits (at most 1).
    """
    pairs = list(combinations(range(len(hashes)), 2))
    if not pairs:
        return None
    apart = [hellinger(around[a], around[b]) / 2 + min(1.0, hamming(hashes[a], hashes[b]) / 32) / 2 for a, b in pairs]
    return float(np.mean(apart))
