"""Measures the fine detail, contrast and colour of an aligned face's surface.

Over-trained LoRAs paint skin like plastic (the fine detail goes) or burn it (contrast and colour rise, levels clip).
Both are judged only against the same person's photos: skin, light and the crop's sharpness differ from set to set.
These numbers identify nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lib_lora.faces.align import SIZE
from lib_lora.faces.array_types import Pixels

# Rows and columns of the crop that show skin in a face from the front: both cheeks, and the forehead between the brows.
SKIN = ((slice(64, 86), slice(24, 44)), (slice(64, 86), slice(68, 88)), (slice(24, 40), slice(42, 70)))
_FINE = 1.5  # pixels of the crop; what a Gaussian of this sigma removes is fine detail


@dataclass(frozen=True)
class Texture:
    """The surface of one aligned face.

    Attributes:
        detail: median over the patches of skin of the standard deviation of the fine detail, as a share of the
            patch's mean brightness; 0 = perfectly smooth, photos: 0.01 to 0.06.
        contrast: standard deviation of the crop's luma, 0..0.5 of the full range.
        colour: mean saturation (HSV), 0..1.
        clipped: share of pixels with a channel that is fully black or white, 0..1.
    """

    detail: float
    contrast: float
    colour: float
    clipped: float


def texture(crop: Pixels) -> Texture:
    """Measure an aligned RGB crop, 112 x 112 x 3."""
    if crop.shape != (SIZE, SIZE, 3):
        raise ValueError(f"an aligned crop is {SIZE} x {SIZE} x 3, not {crop.shape}")
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), _FINE)
    shares = [float(fine[place].std()) / max(16.0, float(luma[place].mean())) for place in SKIN]
    saturation = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)[..., 1]
    clipped = ((crop <= 1) | (crop >= 254)).any(-1)
    return Texture(
        detail=round(float(np.median(shares)), 5),
        contrast=round(float(luma.std()) / 255, 4),
        colour=round(float(saturation.mean()) / 255, 4),
        clipped=round(float(clipped.mean()), 4),
    )
