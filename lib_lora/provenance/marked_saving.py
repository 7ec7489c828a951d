"""Puts an XMP packet into a picture that another program saves into memory, as a webui's API does to send it.

Pillow's oldest release in use writes no packet into a JPEG, and none into a WebP unless it is told each time.
"""

from __future__ import annotations

import io
import os
import weakref
from typing import Any

from PIL import Image

from lib_lora.provenance.xmp_files import with_xmp

_KINDS = ("JPEG", "WEBP")  # a PNG has the packet from the picture's ``info``


def mark_saving(image: Image.Image, packet: str) -> None:
    """From now on this very picture has the packet in it when it is saved into a stream as JPEG or WebP.

    Files on the disk are left to `xmp_files.put_xmp`. A copy of the picture is not marked.

    Args:
        image: the picture.
        packet: the XMP packet.
    """
    picture = weakref.ref(image)  # a method of the picture would keep it alive in a circle

    def save(fp: Any, format: str | None = None, **params: Any) -> None:
        own = picture()
        assert own is not None  # or nobody could ask
        if isinstance(fp, (str, os.PathLike)) or str(format).upper() not in _KINDS:
            Image.Image.save(own, fp, format, **params)
            return
        made = io.BytesIO()
        Image.Image.save(own, made, format, **params)
        fp.write(with_xmp(made.getvalue(), packet) or made.getvalue())

    image.save = save  # type: ignore[method-assign]
