"""Tells from pixels whether a base model painted a picture: its VAE hardly changes again what it has decoded itself.

After Ricker et al., "AEROBLADE: Training-Free Detection of Latent Diffusion Images Using Autoencoder Reconstruction
Error" (arXiv 2401.17879). What is a small change depends on the VAE and the size, so it is taken from pictures of which
it is known that this base model painted them at this size, and from the person's photos at the same size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lib_lora.likeness.measure.vae_ceiling import Reconstruct

LEAST = 4  # painted pictures, and photos, that a limit is drawn from
# How far between the painted pictures' largest change and the photos' smallest the limit lies, 0..1. JPEG of quality 75
# adds an eighth of the way to what is painted, a soft photo is half of it nearer (docs/likeness.md).
_SHARE = 0.25


def reconstruction_error(image: Image.Image, back: Reconstruct) -> float | None:
    """How much a VAE changes a picture: the mean absolute difference of all channels, in levels (0..255).

    Args:
        image: sides are multiples of 8.
        back: encodes and decodes an RGB picture.

    Returns:
        None where there is no VAE.
    """
    before = image.convert("RGB")
    after = back(before)
    if after is None:
        return None
    return float(np.abs(np.asarray(before, np.float32) - np.asarray(after, np.float32)).mean())


def limit_of(painted: Sequence[float], photos: Sequence[float]) -> float | None:
    """Up to which change a picture was painted by this VAE's base model.

    Args:
        painted: the changes of pictures that it painted.
        photos: of photos at the same size.

    Returns:
        None where there are too few of either, or a photo is changed as little as a painted picture.
    """
    if min(len(painted), len(photos)) < LEAST or max(painted) >= min(photos):
        return None
    return max(painted) + _SHARE * (min(photos) - max(painted))
