"""Opening photos safely and taking them in."""

import importlib
import io
import struct
import zlib

import numpy as np
import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from lib_lora.character import photo_files
from lib_lora.character.photo_files import kinds, list_photos, open_photo, read_photo
from lib_lora.errors import UserError


def test_exif_rotation_is_applied_and_not_carried(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    exif = image.getexif()
    exif[274] = 6  # turn right
    exif[0x8825] = {1: "N"}
    image.save(tmp_path / "a.jpg", exif=exif)
    opened = open_photo(tmp_path / "a.jpg")
    assert opened.size == (20, 40)
    assert not opened.info
    assert not opened.getexif()


def test_modes_become_rgb(tmp_path):
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    assert open_photo(tmp_path / "deep.png").getpixel((0, 0)) == (156, 156, 156)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_photo(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    assert open_photo(tmp_path / "print.jpg").mode == "RGB"
    Image.new("P", (4, 4)).save(tmp_path / "palette.png")
    assert open_photo(tmp_path / "palette.png").mode == "RGB"


def test_unreadable_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no picture")
    with raises("photo-unreadable", has="text.jpg"):
        open_photo(tmp_path / "text.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with raises("photo-damaged", has="cut.jpg is damaged"):
        open_photo(tmp_path / "cut.jpg")
    with raises("file-missing", has="gone.jpg"):
        open_photo(tmp_path / "gone.jpg")
    Image.new("RGB", (20, 20)).save(tmp_path / "big.png")
    monkeypatch.setattr(photo_files, "MAX_PIXELS", 100)
    with raises("photo-too-large", has=("big.png", "20")):
        open_photo(tmp_path / "big.png")


def test_listing(tmp_path):
    for name in ("b.png", "A.jpg", ".hidden.png", "note.txt", "c.HEIC", "d.avif", "e.gif", "f.jfif", "g.eps"):
        (tmp_path / name).write_bytes(b"")
    names = ["A.jpg", "b.png", "c.HEIC", "d.avif", "e.gif", "f.jfif"]
    assert [path.name for path in list_photos(tmp_path)] == names
    with raises("photo-folder-missing"):
        list_photos(tmp_path / "A.jpg")


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(content, name="a.jpg"):
    return read_photo(io.BytesIO(content), name)


# -- rotation and metadata


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_rotations_come_out_upright(kind, orientation):
    upright = np.full((40, 80, 3), 255, np.uint8)
    upright[:20, :40] = (255, 0, 0)  # the upper left is red
    upright[20:, 40:] = (0, 0, 255)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(kind, {})
    if kind == "TIFF":
        options["tiffinfo"] = {274: orientation}
    else:
        options["exif"] = exif.tobytes()
    image = opened(encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, **options))
    assert image.size == (80, 40)
    assert np.abs(np.asarray(image).astype(int) - upright).max() < 12


def test_nothing_but_pixels_comes_along():
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    exif[0x9286] = "a comment"
    image = Image.new("RGB", (16, 16), "red")
    for content in (
        encoded(image, "JPEG", exif=exif, icc_profile=b"broken", dpi=(300, 300), comment=b"secret"),
        encoded(image, "PNG", exif=exif, icc_profile=b"broken", dpi=(300, 300)),
        encoded(image, "WEBP", exif=exif, icc_profile=b"broken", xmp=b"<x:xmpmeta/>"),
        encoded(image, "GIF", comment=b"secret"),
    ):
        plain = opened(content)
        assert (plain.mode, plain.info, dict(plain.getexif())) == ("RGB", {}, {})
        assert type(plain) is Image.Image
        again = Image.open(io.BytesIO(encoded(plain, "PNG")))
        assert not again.info


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_is_no_reason_to_refuse_a_photo():
    assert opened(encoded(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")).size == (8, 8)


# -- colours


def test_wide_colours_become_srgb_and_a_broken_profile_is_passed_over():
    image = Image.new("RGB", (8, 8), (200, 30, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert opened(encoded(image, "PNG", icc_profile=srgb)).getpixel((0, 0)) == (200, 30, 30)
    wide = bytearray(srgb)  # the same profile under another name, with red and green swapped
    at = {}
    for number in range(struct.unpack_from(">I", wide, 128)[0]):
        at[bytes(wide[132 + 12 * number : 136 + 12 * number])] = 132 + 12 * number
    red, green, text = at[b"rXYZ"], at[b"gXYZ"], at[b"desc"]
    wide[red + 4 : red + 12], wide[green + 4 : green + 12] = wide[green + 4 : green + 12], wide[red + 4 : red + 12]
    start, size = struct.unpack_from(">II", wide, text + 4)
    name = bytes(wide[start : start + size]).replace(b"s\0R\0G\0B", b"W\0i\0d\0e").replace(b"sRGB", b"Wide")
    wide[start : start + size] = name
    changed = opened(encoded(image, "PNG", icc_profile=bytes(wide))).getpixel((0, 0))
    assert changed[1] > 150 > 100 > changed[0]
    assert opened(encoded(image.convert("RGBA"), "PNG", icc_profile=bytes(wide))).getpixel((0, 0)) == changed
    assert opened(encoded(image, "PNG", icc_profile=bytes(wide[:300]))).getpixel((0, 0)) == (200, 30, 30)


def test_ink_becomes_light():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = opened(encoded(image, "JPEG", quality=100)).getpixel((8, 8))
    assert red[0] > 200 > 60 > max(red[1:])
    # Photoshop stores ink inverted and says so with an Adobe marker, which Pillow writes and undoes
    assert b"Adobe" in encoded(image, "JPEG")


def deep_png(levels):
    """A 16-bit grey PNG, written by hand: Pillows differ in what they write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_are_scaled_not_cut():
    levels = np.array([[0, 128, 257, 32896, 65535]])
    assert np.asarray(opened(deep_png(levels)))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    dark = np.array([[0, 100, 200]])  # a very dark picture stays one
    assert np.asarray(opened(deep_png(dark))).max() <= 1
    for kind in ("<u2", "<i4"):
        tiff = encoded(Image.fromarray(levels.astype(kind)), "TIFF")
        assert np.asarray(opened(tiff))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    for levels in ([0.0, 0.5, 1.0], [0.0, 127.6, 255.0], [float("nan"), 32896.0, 65535.0]):
        tiff = encoded(Image.fromarray(np.array([levels], np.float32)), "TIFF")
        assert np.asarray(opened(tiff))[0, :, 1].tolist() == [0, 128, 255]


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    for content in (
        encoded(clear, "PNG"),
        encoded(clear, "WEBP", lossless=True),
        encoded(Image.new("LA", (4, 4), (0, 0)), "PNG"),
        encoded(palette, "PNG", transparency=1),
        encoded(palette, "GIF", transparency=1),
        encoded(Image.new("RGB", (4, 4), (9, 9, 9)), "PNG", transparency=(9, 9, 9)),
        encoded(Image.new("L", (4, 4), 9), "PNG", transparency=9),
    ):
        image = opened(content)
        assert (image.mode, image.getpixel((1, 1))) == ("RGB", (255, 255, 255))
    assert opened(encoded(Image.new("1", (4, 4), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_many_frames_is_taken(kind):
    red, blue = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    image = opened(encoded(red, kind, save_all=True, append_images=[blue]))
    assert image.getpixel((8, 8))[0] > 250


# -- kinds of files


def test_avif_is_read_where_pillow_or_its_plugin_reads_it():
    if "avif" not in features.get_supported():
        pytest.importorskip("pillow_avif", reason="this Pillow has no AVIF, and its plugin is not there")
    content = encoded(Image.new("RGB", (32, 32), "red"), "AVIF")
    assert opened(content, "a.avif").getpixel((4, 4))[0] > 240
    assert opened(content, "renamed.jpg").size == (32, 32)


MOVIE = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"


def test_what_needs_another_package_names_it(monkeypatch):
    real = importlib.import_module

    def without(name):
        if name in ("pillow_heif", "PIL.AvifImagePlugin", "pillow_avif"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without)
    for kind in ("HEIF", "AVIF"):
        monkeypatch.delitem(Image.OPEN, kind, raising=False)
    with raises("heif-support-missing", has=("IMG_1.jpg", "HEIC", "JPEG")):
        opened(HEIC, "IMG_1.jpg")
    with raises("avif-support-missing", has=("a.avif", "11.3")):
        opened(AVIF, "a.avif")
    assert kinds() == ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"]  # nothing is promised that needs a package


def test_pillow_heif_is_registered_when_such_a_file_is_opened(monkeypatch):
    real, asked = importlib.import_module, []

    class Package:
        @staticmethod
        def register_heif_opener():
            asked.append("heif")
            monkeypatch.setitem(Image.OPEN, "HEIF", (lambda stream, name: Image.new("RGB", (3, 2)), lambda head: True))

    monkeypatch.setattr(importlib, "import_module", lambda name: Package if name == "pillow_heif" else real(name))
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    opened(encoded(Image.new("RGB", (8, 8)), "PNG"))
    assert not asked
    assert opened(HEIC).size == (3, 2)
    assert asked == ["heif"]
    assert "HEIC" in kinds()


def test_only_formats_of_photos_are_tried():
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    for content in (page, b"%PDF-1.4", b"P6 1 1 255\n\0\0\0", encoded(Image.new("RGB", (8, 8)), "TGA"), MOVIE, b""):
        with raises("photo-unreadable"):
            opened(content)


def test_a_picture_that_claims_to_be_huge_is_not_decoded():
    def claims(width, height):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))

    with raises("photo-too-large", has=("10001", "10000", "100")):
        opened(claims(10_001, 10_000))
    with raises("photo-too-large", has="100"):
        opened(claims(1_000_000, 1_000_000))


# -- any bytes


def some_files():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8))
    files = [encoded(image, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
    return [*files, encoded(image, "TIFF", compression="tiff_lzw"), encoded(image.convert("P"), "PNG"), HEIC, AVIF]


def readable_or_refused(content):
    """See that reading ends in a picture or in one sentence; any other error fails the test."""
    said, image = "", None
    try:
        image = opened(content)
    except UserError as error:
        said = str(error)
    assert image.mode == "RGB" if image else said
    assert "\n" not in said


@given(st.binary(max_size=300))
def test_any_bytes_are_a_picture_or_one_sentence(content):
    readable_or_refused(content)


CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on what it mends
@given(st.sampled_from(some_files()), CHANGES, st.data())
def test_a_damaged_picture_is_a_picture_or_one_sentence(content, changes, data):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    readable_or_refused(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
