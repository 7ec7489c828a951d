"""The perceptual hash of a whole picture, and in how many bits two of them differ. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image


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
