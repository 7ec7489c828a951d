"""Tells from pixels whether a base model painted a picture: its VAE changes what it has decoded itself less than the
same picture a few pixels further on.

That a VAE hardly changes again what it has decoded is from Ricker et al., "AEROBLADE: Training-Free Detection of Latent
Diffusion Images Using Autoencoder Reconstruction Error" (arXiv 2401.17879). By itself the change says how sharp a
picture is: that of a soft photo is as small. But what a VAE has decoded lies on the grid of its latents, and where it
is moved against that grid, the VAE changes it more. A photo, sharp or soft, is changed as much wherever it lies.
"""

from __future__ import annotations

from statistics import mean

import numpy as np
from PIL import Image

from lib_lora.likeness.measure.vae_ceiling import Reconstruct

CELL = 8  # pixels that one latent stands for
# Up to this share of the change elsewhere a picture was painted: about half way between the small base model's
# pictures, as they are, and photos, saved in any way (bench/verdict/vae_traces.py --choosing; docs/likeness.md).
PAINTED_AT_MOST = 0.86
_MOVES = ((4, 4), (2, 6))  # pixels to the left and up: half a cell, and as far from whole cells otherwise
_EDGE = 12  # pixels at each side that are not looked at: what was moved is filled up there
_LONGEST = 256  # pixels of a side that is looked at, from the middle: without a GPU each VAE's pass takes seconds


def trace_ratio(image: Image.Image, back: Reconstruct) -> float | None:
    """How much a VAE changes a picture, as share of how much it changes the same picture moved against its grid.

    Args:
        image: RGB, its upper left pixel where the VAE has decoded it.
        back: encodes and decodes an RGB picture.

    Returns:
        About 1 for photos (at least 0.91 in those measured), and mostly 0.55 to 0.85 for what the VAE has decoded. None
        where there is no VAE, the picture is too small, or a side is not a multiple of 8, as in a painted picture.
    """
    if any(side % CELL or side < 4 * _EDGE for side in image.size):
        return None
    here = np.asarray(_middle(image.convert("RGB")))
    errors = [_error(here, back), *(_error(_moved(here, *by), back) for by in _MOVES)]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors) or not mean(known[1:]):
        return None
    return known[0] / mean(known[1:])


def _middle(image: Image.Image) -> Image.Image:
    """The middle of a picture, in whole cells."""
    left, top = (max(0, (side - _LONGEST) // 2 // CELL * CELL) for side in image.size)
    return image.crop((left, top, left + min(_LONGEST, image.width), top + min(_LONGEST, image.height)))


def _moved(pixels: np.ndarray, left: int, up: int) -> np.ndarray:
    """Pixels [H, W, 3] moved to the left and up; at the other edges they are mirrored."""
    filled: np.ndarray = np.pad(pixels, ((0, up), (0, left), (0, 0)), mode="reflect")[up:, left:]
    return filled


def _error(pixels: np.ndarray, back: Reconstruct) -> float | None:
    """Mean absolute difference of the inner pixels [H, W, 3] after a VAE, in levels; None where there is no VAE."""
    after = back(Image.fromarray(pixels))
    if after is None:
        return None
    change = np.abs(pixels.astype(np.float32) - np.asarray(after, np.float32))
    return float(change[_EDGE:-_EDGE, _EDGE:-_EDGE].mean())
