"""Converts pixels of any kind to upright 8-bit sRGB: bit depths, ink colours, transparency, profiles, rotation.

Knows Pillow's modes and what comes with an opened picture; knows no files and no sentences.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_Turn = Image.Transpose
_TURNS = {
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}
_ORIENTATION = 274


def plain(image: Image.Image) -> Image.Image:
    """A decoded picture as RGB: upright, in sRGB, transparency laid on white, and nothing but pixels.

    Always a new picture, so the opened file may be closed.
    """
    turn = _turn(image)
    picture = _on_white(_srgb(_shallow(image)))
    if turn is not None:
        picture = picture.transpose(turn)
    elif picture is image:
        picture = image.copy()
    picture.info.clear()
    return picture


def _turn(image: Image.Image) -> Image.Transpose | None:
    if image.format == "TIFF":
        return None  # Pillow has turned it already, and older ones still say that it lies on its side
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises anything on a broken EXIF block, which is no reason to refuse the picture
        return None


def _shallow(image: Image.Image) -> Image.Image:
    """At most 8 bits a channel. Older Pillows open 16-bit grey as I, newer ones as I;16."""
    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)
    scale = _white(image, float(levels.max(initial=0.0)))
    return Image.fromarray(np.clip(np.rint(levels * (255 / scale)), 0, 255).astype(np.uint8))


def _white(image: Image.Image, most: float) -> float:
    """The level that means white. 32-bit files do not say; it is the smallest usual one that holds the picture."""
    if image.mode.startswith("I;16") or image.format == "PNG":
        return 65535.0
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((white for white in usual if most <= white), max(most, 2.0**31 - 1))


def _srgb(image: Image.Image) -> Image.Image:
    """In sRGB, where a profile says that it is not and can be used; otherwise `image` itself."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        facts = profile.profile
        if facts.xcolor_space.strip() != image.mode[:4].removesuffix("A") or "srgb" in _name(facts.profile_description):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return image  # a broken profile, or a Pillow without colour management: the numbers as they are


def _name(description: str | None) -> str:
    return (description or "").replace(" ", "").casefold()


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        clear = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
