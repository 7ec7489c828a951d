"""Writes embeddings and aligned faces as text for files, and reads them back."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from lib_lora.faces.align import SIZE
from lib_lora.faces.array_types import Array, Pixels


def packed(vector: Array) -> str:
    """A vector as base64 of little-endian float32."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode("ascii")


def unpacked(text: str) -> Array:
    """The inverse of `packed`.

    Raises:
        ValueError: it is no base64 of float32 numbers.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)


def packed_crop(crop: Pixels) -> str:
    """An aligned RGB crop as base64 of a grey PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
    if not done:
        raise ValueError(f"cannot write a crop of shape {crop.shape} as PNG")
    return base64.b64encode(data.tobytes()).decode("ascii")


def unpacked_crop(text: str) -> Pixels:
    """The inverse of `packed_crop`: 112 x 112 grey levels.

    Raises:
        ValueError: it is no such picture.
    """
    data = base64.b64decode(text, validate=True)
    crop = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if crop is None or crop.shape != (SIZE, SIZE):
        raise ValueError("no aligned face")
    return np.asarray(crop, np.uint8)
