"""Puts an XMP packet into a picture file that is on the disk: PNG, JPEG and WebP.

Only what is needed of each format is read, by its lengths; pixels, EXIF and everything else stay byte for byte. The new
file takes the old one's place whole. A file that has a packet already, is of another kind, or is not built as its
format says, is left as it is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, content
from lib_lora.provenance.source_type import PNG_KEY

LARGEST = 1 << 29  # bytes of a file; a larger one is left as it is
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST_SEGMENT = 65_533  # bytes of a JPEG segment behind its length
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10  # of WebP's VP8X


class _NotBuiltSo(Exception):
    """The bytes are not what the format says, or there is a packet already."""


def put_xmp(path: Path, packet: str) -> bool:
    """Put a packet into a picture file.

    Args:
        path: of the file.
        packet: the XMP packet.

    Returns:
        Whether it was put there.

    Raises:
        UserError: the file cannot be read or written; it is then as before.
    """
    if path.stat().st_size > LARGEST:
        return False
    before = content(path)
    after = with_xmp(before, packet)
    if after is None:
        return False
    with atomic_file(path) as stream:
        stream.write(after)
    return True


def with_xmp(data: bytes, packet: str) -> bytes | None:
    """A picture file's bytes with the packet in them; None where it is left as it is."""
    for begins, put in _FORMATS:
        if begins(data):
            try:
                return put(data, packet.encode("utf-8"))
            except (_NotBuiltSo, struct.error, IndexError, OverflowError):
                return None
    return None


def xmp_of(path: Path) -> str:
    """The packet in a picture file; empty where there is none, or the file cannot be read."""
    try:
        data = content(path)
        for begins, packets in ((_is_png, _png_packets), (_is_jpeg, _jpeg_packets), (_is_webp, _webp_packets)):
            if begins(data):
                return next((one.decode("utf-8", "replace") for one in packets(data)), "")
    except (UserError, _NotBuiltSo, struct.error, IndexError):
        pass
    return ""


# PNG: chunks of length, name, data and a checksum


def _is_png(data: bytes) -> bool:
    return data.startswith(_PNG)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of each chunk, to the last one."""
    place = len(_PNG)
    while True:
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            raise _NotBuiltSo
        name = data[place + 4 : place + 8]
        yield name, place, end
        if name == b"IEND":
            return
        place = end


def _png_packets(data: bytes) -> Iterator[bytes]:
    for name, begin, end in _png_chunks(data):
        key, _, rest = data[begin + 8 : end - 4].partition(b"\0")
        if name in (b"iTXt", b"tEXt", b"zTXt") and key == PNG_KEY.encode():
            # compression flag and method, language, translated key
            yield rest[2:].split(b"\0", 2)[-1] if name == b"iTXt" else rest


def _into_png(data: bytes, packet: bytes) -> bytes:
    chunks = list(_png_chunks(data))
    if chunks[0][0] != b"IHDR" or any(True for _ in _png_packets(data)):
        raise _NotBuiltSo
    body = b"iTXt" + PNG_KEY.encode() + b"\0" * 5 + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = chunks[0][2]  # before the pixels, where whoever reads only a file's head still finds it
    return data[:end] + chunk + data[end:]


# JPEG: segments of a marker, a length and data, up to the pixels


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment before the pixels."""
    place = 2
    while True:
        if data[place] != 0xFF:
            raise _NotBuiltSo
        marker = data[place + 1]
        if marker == 0xDA:  # the pixels begin
            return
        (length,) = struct.unpack_from(">H", data, place + 2)
        end = place + 2 + length
        if length < 2 or end > len(data) or marker in (0x00, 0x01, 0xD8, 0xD9, 0xFF):
            raise _NotBuiltSo
        yield marker, place, end
        place = end


def _jpeg_packets(data: bytes) -> Iterator[bytes]:
    for marker, begin, end in _jpeg_segments(data):
        if marker == 0xE1 and data.startswith(_JPEG_XMP, begin + 4):
            yield data[begin + 4 + len(_JPEG_XMP) : end]


def _into_jpeg(data: bytes, packet: bytes) -> bytes:
    segments = list(_jpeg_segments(data))
    body = _JPEG_XMP + packet
    if any(True for _ in _jpeg_packets(data)) or len(body) > _LONGEST_SEGMENT:
        raise _NotBuiltSo
    place = 2
    for marker, begin, end in segments:  # behind JFIF and EXIF, which readers look for first
        if marker == 0xE0 or (marker == 0xE1 and data.startswith(b"Exif\0", begin + 4)):
            place = end
        else:
            break
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return data[:place] + segment + data[place:]


# WebP: chunks of a name, a length and data, padded to even lengths


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk, and where its data begin and end."""
    (size,) = struct.unpack_from("<I", data, 4)
    whole = 8 + size
    if whole > len(data):
        raise _NotBuiltSo
    place = 12
    while place < whole:
        name = data[place : place + 4]
        (length,) = struct.unpack_from("<I", data, place + 4)
        begin, end = place + 8, place + 8 + length
        if end > whole:
            raise _NotBuiltSo
        yield name, begin, end
        place = end + length % 2


def _webp_packets(data: bytes) -> Iterator[bytes]:
    for name, begin, end in _webp_chunks(data):
        if name == b"XMP ":
            yield data[begin:end]


def _into_webp(data: bytes, packet: bytes) -> bytes:
    chunks = list(_webp_chunks(data))
    if not chunks or any(True for _ in _webp_packets(data)):
        raise _NotBuiltSo
    first, begin, end = chunks[0]
    (size,) = struct.unpack_from("<I", data, 4)
    inside = data[12 : 8 + size]
    if first == b"VP8X":
        if end - begin < 10:
            raise _NotBuiltSo
        inside = inside[:8] + bytes([inside[8] | _XMP_FLAG]) + inside[9:]
    else:  # the simple form, which holds nothing but the pixels
        wide, high, flags = _size_of_webp(first, data[begin : min(end, begin + 10)])
        canvas = (wide - 1).to_bytes(3, "little") + (high - 1).to_bytes(3, "little")
        inside = _webp_chunk(b"VP8X", bytes([flags | _XMP_FLAG, 0, 0, 0]) + canvas) + inside
    inside += b"\0" * (len(inside) % 2) + _webp_chunk(b"XMP ", packet)
    return b"RIFF" + struct.pack("<I", len(inside) + 4) + b"WEBP" + inside + data[8 + size :]


def _webp_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _size_of_webp(name: bytes, head: bytes) -> tuple[int, int, int]:
    """Width, height and VP8X flags of a picture in the simple form."""
    if name == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":
        wide, high = struct.unpack_from("<HH", head, 6)
        return wide & 0x3FFF, high & 0x3FFF, 0
    if name == b"VP8L" and head[:1] == b"\x2f":
        (bits,) = struct.unpack_from("<I", head, 1)
        alpha = bits >> 28 & 1
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _ALPHA_FLAG * alpha
    raise _NotBuiltSo


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, bytes], bytes]], ...] = (
    (_is_png, _into_png),
    (_is_jpeg, _into_jpeg),
    (_is_webp, _into_webp),
)
