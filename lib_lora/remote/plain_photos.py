"""Copies photos for another machine as pixels alone: no EXIF, no location, no name.

A JPEG is not compressed again: the parts of the file that hold no pixels are left out. Anything else is saved as PNG.
In both cases the copy is decoded and must give the same pixels, so that a training there is the training it would be
here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from lib_lora.character.photo_files import open_photo, read_photo
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained
from lib_lora.files import content as content_of

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_TABLES = frozenset((*range(0xC0, 0xC8), *range(0xC9, 0xD0), 0xDB, 0xDD))  # frames, Huffman's and others, restarts
_RESTARTS = range(0xD0, 0xD8)
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"  # that it is one: its colours are as usual; without its thumbnail
_ADOBE = b"Adobe"  # how colours are stored, in the last byte
_PROFILE = b"ICC_PROFILE\0"  # what the colours mean, in parts
_NUMBERS = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt", b"bkpt", b"chad")  # of a profile
_KINDS = (b"XYZ ", b"curv", b"para", b"sf32")
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
    for stripped in _stripped_jpegs(content):
        if _shows(stripped, picture):
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


def _stripped_jpegs(content: bytes) -> Iterator[bytes]:
    """A JPEG without what is said about it: of its EXIF only how it is to be turned. Then the same with the numbers of
    its colour profile, without which most photos have other colours. Nothing where it is no plain JPEG.

    Only the first picture of the file is kept, and nothing after its end.
    """
    if content[:2] != bytes([0xFF, _START]):
        return
    kept: dict[int, bytes] = {}  # what is said once, by marker
    pixels, profile = [], b""
    for marker, body in _segments(content):
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            kept[marker] = _segment(marker, _JFIF)
        elif marker == _APP14 and body.startswith(_ADOBE) and len(body) >= 12:
            kept[marker] = _segment(marker, _ADOBE + bytes([0, 100, 0, 0, 0, 0, body[11]]))
        elif marker == _APP1 and marker not in kept:
            kept[marker] = _orientation(content)
        elif marker == _APP2 and body.startswith(_PROFILE):
            profile += body[len(_PROFILE) + 2 :]
        elif marker in _TABLES or marker == _SCAN:
            pixels.append(_segment(marker, body))
        elif marker == 0:  # the pixels of a scan
            pixels.append(body)
        elif marker == _END:
            yield _joined(kept, pixels)
            if colours := _plain_profile(profile):
                yield _joined({**kept, _APP2: _segment(_APP2, _PROFILE + bytes([1, 1]) + colours)}, pixels)


def _joined(said: dict[int, bytes], pixels: list[bytes]) -> bytes:
    """A JPEG of its parts. EXIF stands before all else."""
    first = [said[one] for one in (_APP1, _APP0, _APP14, _APP2) if one in said]
    return b"".join([bytes([0xFF, _START]), *first, *pixels, bytes([0xFF, _END])])


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG after its beginning: marker and body, ``0`` and the bytes of a scan's pixels, and, last,
    its end. It ends without one where the file is damaged."""
    place = 2
    while place + 2 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == _END:
            yield marker, b""
            return
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if end < place + 4 or end > len(content):
            return
        yield marker, content[place + 4 : end]
        place = end
        if marker == _SCAN:
            place = _scan_end(content, end)
            yield 0, content[end:place]


def _scan_end(content: bytes, place: int) -> int:
    """Where the pixels of a scan end: at a marker that is neither a byte of them nor a restart."""
    while True:
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            return len(content)
        if content[place + 1] == 0 or content[place + 1] in _RESTARTS:
            place += 2
        elif content[place + 1] == 0xFF:
            place += 1
        else:
            return place


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _plain_profile(profile: bytes) -> bytes:
    """A colour profile of the numbers alone that make colours of a screen's red, green and blue: no description, no
    maker, no device. Empty where there is none, or it is made of tables.

    After ICC.1:2010, sections 7.2 (the header) and 7.3 (the table of tags).
    """
    if len(profile) < 132 or profile[16:20] != b"RGB " or profile[20:24] != b"XYZ ":
        return b""
    tags = []
    for number in range(min(int.from_bytes(profile[128:132], "big"), 100)):
        row = profile[132 + 12 * number : 144 + 12 * number]
        start, size = int.from_bytes(row[4:8], "big"), int.from_bytes(row[8:12], "big")
        body = profile[start : start + size]
        if row[:4] in _NUMBERS and body[:4] in _KINDS and len(body) == size:
            tags.append((row[:4], body + bytes(-size % 4)))
    if not {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"} <= {name for name, _ in tags}:
        return b""
    table, bodies = len(tags).to_bytes(4, "big"), b""
    for name, body in tags:
        table += name + (132 + 12 * len(tags) + len(bodies)).to_bytes(4, "big") + len(body).to_bytes(4, "big")
        bodies += body
    # of the header: version, class, colours, a date that is needed, "acsp", and the light; nothing of any device
    made = bytes([7, 208, 0, 1, 0, 1]) + bytes(6)
    light = profile[68:80]
    header = bytes(4) + profile[8:24] + made + b"acsp" + bytes(28) + light + bytes(48)
    whole = 128 + len(table) + len(bodies)
    return whole.to_bytes(4, "big") + header + table + bodies


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
    return _segment(_APP1, exif.tobytes())
