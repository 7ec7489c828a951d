"""XMP in picture files on the disk: read back by Pillow and byte by byte; odd and hostile files stay as they are."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from lib_lora.provenance import xmp_files
from lib_lora.provenance.source_type import COMPOSITE, GENERATED, PNG_KEY, address, packet, says_generated
from lib_lora.provenance.xmp_files import put_xmp, with_xmp, xmp_of

FORMATS = [
    ("png", "RGB", {}),
    ("png", "RGBA", {}),
    ("jpg", "RGB", {"quality": 80}),
    ("jpg", "RGB", {"progressive": True}),
    ("webp", "RGB", {"quality": 80}),
    ("webp", "RGB", {"lossless": True}),
    ("webp", "RGBA", {"lossless": True}),
    ("webp", "RGBA", {"quality": 80}),
]


def picture(mode: str, size: tuple[int, int] = (37, 21)) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (size[1], size[0], len(mode)), np.uint8)
    return Image.fromarray(pixels, mode)


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = "a woman, Seed: 7"
    return found


def written(path: Path, mode: str, with_exif: bool, options: dict[str, object]) -> bytes:
    more = {"exif": exif()} if with_exif and path.suffix != ".png" else {}
    picture(mode).save(path, **options, **more)
    return path.read_bytes()


def packet_in(path: Path) -> str:
    """What Pillow finds."""
    with Image.open(path) as image:
        image.load()
        said = image.info.get(PNG_KEY) or image.info.get("xmp") or b""
        for _, body in getattr(image, "applist", ()):  # of a JPEG, as Pillow before 10 gives it
            begin, _, rest = body.partition(b"\0")
            said = rest if begin == b"http://ns.adobe.com/xap/1.0/" else said
    return said.decode() if isinstance(said, bytes) else said


@pytest.mark.parametrize("with_exif", [False, True])
@pytest.mark.parametrize(("suffix", "mode", "options"), FORMATS)
def test_it_is_put_in_and_nothing_else_changes(
    tmp_path: Path, suffix: str, mode: str, options: dict[str, object], with_exif: bool
) -> None:
    path = tmp_path / f"名前.{suffix}"
    before = written(path, mode, with_exif, options)
    with Image.open(path) as image:
        pixels, kept = np.asarray(image), image.getexif().get(0x010E)
    assert put_xmp(path, packet())
    assert packet_in(path) == packet() == xmp_of(path)
    assert f'DigitalSourceType="{address(GENERATED)}"' in packet_in(path)
    with Image.open(path) as image:
        assert (np.asarray(image) == pixels).all()
        assert (image.mode, image.getexif().get(0x010E)) == ((mode if suffix != "jpg" else "RGB"), kept)
    after = path.read_bytes()
    assert not put_xmp(path, packet(COMPOSITE))  # there is one already
    assert path.read_bytes() == after
    assert len(after) > len(before)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def chunks(data: bytes) -> list[tuple[bytes, bytes, int]]:
    place, found = 8, []
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", data, place + 8 + length)
        found.append((data[place + 4 : place + 8], body, check))
        place += 12 + length
    return found


def test_the_chunk_of_a_png_is_as_the_standard_says(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a woman")
    picture("RGB").save(path, pnginfo=texts)
    before = chunks(path.read_bytes())
    assert put_xmp(path, packet())
    after = chunks(path.read_bytes())
    assert all(check == zlib.crc32(name + body) for name, body, check in after)
    assert [one for one in after if one not in before] == [after[1]]
    assert after[1][:2] == (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet().encode())


def test_the_segment_of_a_jpeg_lies_behind_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    before = written(path, "RGB", True, {})
    assert put_xmp(path, packet())
    after = path.read_bytes()
    place = after.index(b"http://ns.adobe.com/xap/1.0/\0")
    assert after.index(b"Exif\0\0") < place
    (length,) = struct.unpack_from(">H", after, place - 2)
    assert after[place - 4 : place - 2] == b"\xff\xe1"
    segment = after[place - 4 : place - 2 + length]
    assert segment.endswith(packet().encode())
    assert after.replace(segment, b"") == before


@pytest.mark.parametrize(("mode", "options", "flags"), [("RGB", {}, 0x04), ("RGBA", {"lossless": True}, 0x14)])
def test_a_plain_webp_becomes_an_extended_one(
    tmp_path: Path, mode: str, options: dict[str, object], flags: int
) -> None:
    path = tmp_path / "a.webp"
    before = written(path, mode, False, options)
    assert put_xmp(path, packet())
    after = path.read_bytes()
    assert struct.unpack_from("<I", after, 4)[0] == len(after) - 8
    assert after[12:16] == b"VP8X"
    assert after[20] == flags
    assert int.from_bytes(after[24:27], "little") + 1 == 37
    assert int.from_bytes(after[27:30], "little") + 1 == 21
    assert before[12:16] != b"VP8X"
    assert before[12:] in after


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_cut_or_strange_file_is_left_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = written(path, "RGB", True, {})
    head = whole.index(b"\xff\xda") if suffix == "jpg" else len(whole)  # what stands before a JPEG's pixels
    for data in (b"", whole[:7], whole[:13], whole[: head // 2], b"GIF89a" + whole, bytes(100)):
        path.write_bytes(data)
        assert not put_xmp(path, packet()), len(data)
        assert path.read_bytes() == data
        assert xmp_of(path) == ""


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_bytes_there_are_nothing_is_raised(suffix: str, data: st.DataObject) -> None:
    kept = io.BytesIO()
    picture("RGB").save(kept, {"jpg": "JPEG"}.get(suffix, suffix))
    content = bytearray(kept.getvalue()[:200])
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6)):
        content[place % len(content)] = value
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    after = with_xmp(cut, packet())
    assert after is None or len(after) > len(cut)


def test_lengths_that_lead_nowhere_end(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 0xFFFFFFFF) + b"IHDR" + bytes(64)
    jpeg = b"\xff\xd8\xff\xe0\x00\x00" + bytes(64)
    webp = b"RIFF" + struct.pack("<I", 60) + b"WEBPVP8X" + struct.pack("<I", 0xFFFFFFF0) + bytes(44)
    empty = b"RIFF" + struct.pack("<I", 4) + b"WEBP"
    zero = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + bytes(4)
    for data in (png, jpeg, webp, empty, zero):
        assert with_xmp(data, packet()) is None


def test_a_packet_that_fits_no_jpeg_segment_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    before = written(path, "RGB", False, {})
    assert not put_xmp(path, "x" * 65_505)
    assert path.read_bytes() == before
    assert put_xmp(path, "x" * 65_504)
    assert packet_in(path) == "x" * 65_504


def test_a_file_too_large_for_memory_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    written(path, "RGB", False, {})
    monkeypatch.setattr(xmp_files, "LARGEST", 100)
    assert not put_xmp(path, packet())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_who_may_read_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    written(path, "RGB", False, {})
    before = path.stat().st_mode
    assert put_xmp(path, packet())
    assert path.stat().st_mode == before


def test_the_words() -> None:
    assert packet().startswith('<?xpacket begin="\ufeff"')
    assert says_generated(packet())
    assert says_generated(packet(COMPOSITE))
    assert not says_generated(packet().replace("trainedAlgorithmicMedia", "digitalCapture"))
