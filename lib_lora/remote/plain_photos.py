"""Copies of photos with nothing but their pixels, for another machine: no EXIF, no place, no name.

A JPEG is not compressed anew: the parts of the file that hold no pixels are left out. Whatever else is saved as PNG. In
both cases the copy is decoded and must give the same pixels, so that a training there is the training it would be here.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from lib_lora.character.photo_files import open_photo, read_photo
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained
from lib_lora.files import content as content_of

_START, _SCAN, _APP1, _APP2 = 0xD8, 0xDA, 0xE1, 0xE2
_PROFILE = b"ICC_PROFILE\0"  # what the colours mean, in APP2
_KEPT = (0xE0, 0xEE)  # JFIF, and Adobe's, which says how colours are stored
_ORIENTATION = 0x0112


def plain_copy(photo: Path, target: Path) -> Path:
    """Write a copy of a photo that holds its pixels alone.

    Args:
        photo: the original, which is not changed.
        target: where to, without suffix.

    Returns:
        The copy.

    Raises:
        UserError: the photo cannot be read, or the copy not be written.
    """
    picture = open_photo(photo)
    with explained(photo, "read"):
        content = content_of(photo)
    stripped = _stripped_jpeg(content) if content[:2] == bytes([0xFF, _START]) else None
    if stripped is not None and _shows(stripped, picture):
        path = target.with_name(f"{target.name}.jpg")
        with atomic_file(path) as stream:
            stream.write(stripped)
        return path
    path = target.with_name(f"{target.name}.png")
    with atomic_file(path) as stream:
        picture.save(stream, "PNG", compress_level=4)
    return path


def _shows(content: bytes, picture: Image.Image) -> bool:
    try:
        shown = read_photo(io.BytesIO(content), "copy")
    except UserError:
        return False
    return shown.size == picture.size and shown.tobytes() == picture.tobytes()


def _stripped_jpeg(content: bytes) -> bytes | None:
    """A JPEG without what is said about it; of its EXIF only how it is to be turned. None where it is no plain one."""
    kept, place, turned = [content[:2]], 2, b""
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return None
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        end = place + 2 + size
        if size < 2 or end > len(content):
            return None
        if marker == _SCAN:
            picture_end = content.rfind(b"\xff\xd9")
            if picture_end < end:
                return None
            return b"".join([kept[0], turned, *kept[1:], content[place : picture_end + 2]])
        segment = content[place:end]
        if marker == _APP1:
            turned = turned or _orientation(content)
        elif marker in _KEPT or (marker == _APP2 and segment[4:].startswith(_PROFILE)) or not _is_said(marker):
            kept.append(segment)
        place = end
    return None


def _is_said(marker: int) -> bool:
    """Whether a segment holds something about the picture: an application's, or a comment."""
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


def _orientation(content: bytes) -> bytes:
    """A segment of EXIF with the orientation alone; empty where the picture is upright as it is."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's readers raise anything on a damaged file
        return b""
    if not isinstance(value, int) or not 2 <= value <= 8:
        return b""
    exif = Image.Exif()  # type: ignore[no-untyped-call, unused-ignore]
    exif[_ORIENTATION] = value
    body = exif.tobytes()
    return bytes([0xFF, _APP1]) + (len(body) + 2).to_bytes(2, "big") + body
