"""Describes a picture by a perceptual hash, or a part of it by a colour histogram, and compares two of them.

Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_lora.faces.array_types import Array, Mask


def phash(image: Image.Image) -> int:
    """Perceptual hash of 64 bits: which low frequencies of the 32 x 32 grey picture are above their median.

    The discrete cosine transform's lowest 8 x 8 coefficients without the constant one, as in pHash (Zauner 2010).
    """
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), np.float32)
    low = cv2.dct(grey)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming(one: int, other: int) -> int:
    """In how many bits two hashes differ, 0..64. Pictures that have nothing in common differ in about 32."""
    return (one ^ other).bit_count()


_BINS = (8, 4, 4)  # hue, saturation, value


def colours(image: Image.Image, mask: Mask) -> Array:
    """Colour histogram (hue, saturation, value) of the pixels in `mask`: 128 shares that add up to 1, or all 0."""
    hsv = cv2.cvtColor(np.asarray(image.convert("RGB"), np.uint8), cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hsv], [0, 1, 2], mask.astype(np.uint8), list(_BINS), [0, 180, 0, 256, 0, 256]).ravel()
    return np.asarray(histogram / max(1.0, float(histogram.sum())), np.float32)


def largest_group(histograms: Sequence[Sequence[float]], limit: float) -> int:
    """Of n >= 1 histograms, how many lie within `limit` (as in `hellinger`) of the one with most neighbours."""
    roots = np.sqrt(np.asarray(histograms, np.float64))
    return int((np.sqrt(np.maximum(0.0, 1 - roots @ roots.T)) < limit).sum(1).max())


def hellinger(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Hellinger distance of two histograms of shares, 0 (equal) .. 1 (nothing in common)."""
    return math.sqrt(max(0.0, 1 - float(np.sqrt(np.asarray(one) * np.asarray(other)).sum())))
