"""A copy of a photo for another machine shows the same pixels, and holds nothing else of the original."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from faults import raises
from PIL import Image, ImageCms, PngImagePlugin

from lib_lora.character.photo_files import open_photo
from lib_lora.remote.plain_photos import plain_copy

PHOTO = Path(__file__).parents[1] / "data" / "personas" / "mara" / "00.jpg"
SECRET = b"Hauptstrasse-5"
TEXT = SECRET.decode()
SAID = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "exif", "icc_profile", "adobe", "adobe_transform", "dpi"}
SAID |= {"progressive", "progression"}
JFIF = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def _picture(size=(97, 61)):
    with Image.open(PHOTO) as photo:
        return photo.convert("RGB").resize(size)


def _jpeg(picture=None, **options):
    stream = io.BytesIO()
    (picture or _picture()).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def _segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _exif(orientation=1):
    """EXIF with a description, a place, and a thumbnail with EXIF of its own."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x013B] = TEXT, orientation, TEXT
    exif.get_ifd(0x8825)[0x001D] = TEXT  # of the GPS part: a date
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + SECRET
    inner = Image.Exif()
    inner[0x010E] = TEXT
    return exif.tobytes() + _jpeg(_picture((16, 16)), exif=inner.tobytes())


def _checked(tmp_path, content, suffix=".jpg"):
    """The copy of a photo, looked at: same pixels, no secret, original untouched."""
    original = tmp_path / f"{TEXT} original{suffix}"
    original.write_bytes(content)
    copy = plain_copy(original, tmp_path / "copies" / "0001")
    assert original.read_bytes() == content
    assert copy.stem == "0001"
    written = copy.read_bytes()
    for secret in (SECRET, SECRET.lower(), TEXT.encode("utf-16-le"), b"Photoshop", b"<x:xmpmeta", b"GPS"):
        assert secret not in written
    ours, theirs = open_photo(original), open_photo(copy)
    assert ours.size == theirs.size
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
    with Image.open(copy) as shown:
        assert set(shown.info) <= SAID
        assert shown.info.get("dpi", (72, 72)) == (72, 72)  # what Pillow says where nothing is said
        assert set(shown.getexif()) <= {0x0112}
    return copy


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_goes_and_the_picture_stays_upright(tmp_path, orientation):
    copy = _checked(tmp_path, _jpeg(exif=_exif(orientation)))
    assert copy.suffix == ".jpg"  # it was not compressed anew


def test_an_orientation_that_xmp_alone_says(tmp_path):
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:creator="{TEXT}"/></x:xmpmeta>'
    body = b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode()
    content = _jpeg()
    _checked(tmp_path, content[:2] + _segment(0xE1, body) + content[2:])


def test_everything_that_is_said_goes(tmp_path):
    content = _jpeg(comment=SECRET, exif=_exif(), dpi=(300, 300))
    planted = [_segment(marker, b"Photoshop 3.0\0" + SECRET) for marker in range(0xE2, 0xF0)]
    planted += [_segment(0xFE, SECRET), _segment(0xE0, b"JFXX\0\x10" + _jpeg(_picture((16, 16)), comment=SECRET))]
    copy = _checked(tmp_path, content[:2] + b"".join(planted) + content[2:])
    assert copy.suffix == ".jpg"


def test_the_thumbnail_in_jfif_goes(tmp_path):
    pixels = bytes(range(256)) * 3  # 16 x 16 pixels
    with_thumbnail = _segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\x10\x10" + pixels)
    content = _jpeg()
    assert content.count(JFIF) == 1
    copy = _checked(tmp_path, content.replace(JFIF, with_thumbnail))
    assert (copy.suffix, pixels in copy.read_bytes()) == (".jpg", False)


@pytest.mark.parametrize(
    "after",
    [
        SECRET,
        b"\0" * 100 + SECRET + b"\xff\xd9",
        _jpeg(_picture((32, 32)), comment=SECRET),
        b"\xff\xd8\xff\xe1" + SECRET + b"\xff\xd9" * 3,
    ],
    ids=["text", "another end", "another picture", "half a picture"],
)
def test_what_stands_after_the_end_goes(tmp_path, after):
    content = _jpeg()
    copy = _checked(tmp_path, content + after)
    assert copy.read_bytes() == content


def test_of_several_pictures_in_a_file_the_first_stays(tmp_path):
    stream = io.BytesIO()
    other = _picture((90, 60))
    other.info["comment"] = SECRET
    _picture().save(stream, "MPO", save_all=True, append_images=[other], exif=_exif(6))
    content = stream.getvalue()
    assert content.count(b"\xff\xd8\xff") >= 2
    assert content.count(b"MPF\0") >= 1
    written = _checked(tmp_path, content).read_bytes()
    assert written.count(b"\xff\xd8\xff") == 1
    assert b"MPF\0" not in written


@pytest.mark.parametrize(
    "quality", [{"progressive": True}, {"optimize": True}, {"subsampling": 0}, {"qtables": "web_low"}]
)
def test_kinds_of_compression(tmp_path, quality):
    stream = io.BytesIO()
    _picture().save(stream, "JPEG", exif=_exif(3), **quality)
    assert _checked(tmp_path, stream.getvalue()).suffix == ".jpg"


def test_what_is_said_between_the_scans_of_a_progressive_jpeg_goes(tmp_path):
    content = _jpeg(progressive=True)
    second = content.index(b"\xff\xda", content.index(b"\xff\xda") + 2)
    content = content[:second] + _segment(0xFE, SECRET) + _segment(0xE1, SECRET) + content[second:]
    copy = _checked(tmp_path, content)
    assert (copy.suffix, copy.read_bytes()) == (".jpg", _jpeg(progressive=True))


@pytest.mark.once("A1111's Pillow cannot write restart markers")
def test_restarts_and_fill_bytes(tmp_path):
    content = _jpeg(restart_marker_rows=1)
    assert b"\xff\xd0" in content
    assert _checked(tmp_path, content).suffix == ".jpg"
    filled = content.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1).replace(b"\xff\xd9", b"\xff\xff\xd9")
    assert _checked(tmp_path, filled).suffix == ".jpg"


def test_inks_and_grey(tmp_path):
    assert _checked(tmp_path, _jpeg(_picture().convert("CMYK"), exif=_exif())).suffix == ".jpg"
    assert _checked(tmp_path, _jpeg(_picture().convert("L"), exif=_exif(8))).suffix == ".jpg"


def test_unusual_colours_stay_through_adobes_mark(tmp_path):
    assert _checked(tmp_path, _jpeg(keep_rgb=True)).suffix == ".jpg"  # before Pillow 10.2 this is a usual one


def _profile(description, gamma=1.8):
    """A colour profile of other primaries and another gamma than sRGB's, with a secret for a description."""

    def text(value):
        return b"desc\0\0\0\0" + struct.pack(">I", len(value) + 1) + value + b"\0" + bytes(78)

    def xyz(*values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {
        b"desc": text(description),
        b"cprt": b"text\0\0\0\0" + SECRET + b"\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.6097, 0.3111, 0.0195),
        b"gXYZ": xyz(0.2053, 0.6257, 0.0609),
        b"bXYZ": xyz(0.1492, 0.0632, 0.7446),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"dmnd": text(SECRET),
    }
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body
    header = b"TEXT" + b"\x02\x10\0\0mntrRGB XYZ " + struct.pack(">6H", 2024, 1, 2, 3, 4, 5) + b"acsp" + b"APPL"
    header += bytes(4) + b"\xde\xadSN" + bytes(16) + struct.pack(">3i", 63190, 65536, 54061) + SECRET[:4] + bytes(44)
    return struct.pack(">I", 128 + len(table) + len(bodies)) + header[:124] + table + bodies


def test_a_colour_profile_is_reduced_to_its_numbers(tmp_path):
    profile = _profile(SECRET)
    content = _jpeg(icc_profile=profile, exif=_exif(6))
    bare = tmp_path / "bare.jpg"
    bare.write_bytes(_jpeg(exif=_exif(6)))
    copy = _checked(tmp_path, content)
    assert copy.suffix == ".jpg"
    assert not np.array_equal(np.asarray(open_photo(copy)), np.asarray(open_photo(bare)))  # it does change colours
    with Image.open(copy) as shown:
        kept = ImageCms.ImageCmsProfile(io.BytesIO(shown.info["icc_profile"]))
    assert kept.profile.red_colorant is not None
    assert b"\xde\xadSN" not in copy.read_bytes()  # the device
    assert len(copy.read_bytes()) < len(content)


def test_a_profile_that_says_srgb_is_not_needed(tmp_path):
    copy = _checked(tmp_path, _jpeg(icc_profile=_profile(b"sRGB " + SECRET)))
    assert copy.suffix == ".jpg"
    assert b"ICC_PROFILE" not in copy.read_bytes()


def test_a_profile_that_cannot_be_read(tmp_path):
    for profile in (SECRET * 20, _profile(SECRET)[:200], b"\xff" * 300):
        assert _checked(tmp_path, _jpeg(icc_profile=profile)).suffix == ".jpg"


def test_inks_with_a_profile_of_their_own_become_colours(tmp_path):
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # of the wrong kind: it is passed over
    _checked(tmp_path, _jpeg(_picture().convert("CMYK"), icc_profile=made))


def test_a_truncated_photo_is_one_sentence(tmp_path):
    photo = tmp_path / "cut.jpg"
    for cut in (300, 2):
        photo.write_bytes(_jpeg()[:-cut])
        with raises("photo-damaged", has="cut.jpg"):
            plain_copy(photo, tmp_path / "copies" / "1")
    assert not (tmp_path / "copies").exists()
    photo.write_bytes(b"\xff\xd8")
    with raises(("photo-damaged", "photo-unreadable"), has="cut.jpg"):
        plain_copy(photo, tmp_path / "copies" / "1")
    with raises("file-missing"):
        plain_copy(tmp_path / "gone.jpg", tmp_path / "copies" / "1")


def _png(picture):
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", TEXT)
    said.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{TEXT}</x:xmpmeta>")
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=said, exif=_exif(6))
    return stream.getvalue() + SECRET


def _saved(kind, picture=None, **options):
    stream = io.BytesIO()
    (picture or _picture()).save(stream, kind, **options)
    return stream.getvalue()


def _clear():
    picture = _picture().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        (".png", lambda: _png(_picture())),
        (".png", lambda: _png(_clear())),
        (".png", lambda: _png(_picture().convert("P"))),
        (".webp", lambda: _saved("WEBP", exif=_exif(5), xmp=b"<x:xmpmeta>" + SECRET)),
        (".gif", lambda: _saved("GIF", _picture().convert("P"), comment=SECRET)),
        (".tif", lambda: _saved("TIFF", tiffinfo={270: TEXT, 315: TEXT, 274: 6}, compression="tiff_lzw")),
        (".bmp", lambda: _saved("BMP") + SECRET),
    ],
    ids=["png", "clear png", "palette png", "webp", "gif", "tiff", "bmp"],
)
def test_other_kinds_become_a_bare_png(tmp_path, suffix, make):
    copy = _checked(tmp_path, make(), suffix)
    assert copy.suffix == ".png"
    content, place, chunks = copy.read_bytes(), 8, set()
    while place < len(content):
        chunks.add(content[place + 4 : place + 8])
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    assert chunks == {b"IHDR", b"IDAT", b"IEND"}


def test_what_only_begins_like_a_jpeg_is_no_picture(tmp_path):
    photo = tmp_path / "hostile.jpg"
    for content in (
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\xff\xd8" + b"\xff" * 5000,
        b"\xff\xd8\xff\xda\0\2" + bytes(99),
        b"",
    ):
        photo.write_bytes(content)
        with raises(("photo-damaged", "photo-unreadable")):
            plain_copy(photo, tmp_path / "1")


def test_the_same_photo_gives_the_same_bytes(tmp_path):
    """By its hash the other machine knows a file that it has."""
    one, other = (plain_copy(PHOTO, tmp_path / name / "0001") for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()
