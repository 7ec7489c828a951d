"""Sheets of four are known by their seams; photos are not taken for sheets. Rates: bench/photos/sheets.py."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lib_lora.photos.importing.sheets import boxes

PERSONAS = Path(__file__).resolve().parents[1] / "data" / "personas"


def portrait(who, number):
    return Image.open(PERSONAS / who / f"{number:02}.jpg").convert("RGB")


def sheet(pictures, gutter=0, colour="white", scale=1.0):
    width, height = pictures[0].size
    made = Image.new("RGB", (2 * width + gutter, 2 * height + gutter), colour)
    for number, picture in enumerate(pictures):
        made.paste(picture, ((number % 2) * (width + gutter), (number // 2) * (height + gutter)))
    return made.resize((round(made.width * scale), round(made.height * scale)), Image.Resampling.BICUBIC)


def saved(image, kind, quality):
    stream = io.BytesIO()
    image.save(stream, kind, quality=quality)
    return Image.open(stream).convert("RGB")


@pytest.mark.parametrize(
    ("who", "gutter", "colour", "scale", "kind", "quality"),
    [
        ("clara", 0, "white", 1.0, "JPEG", 75),
        ("mara", 8, "white", 1.0, "JPEG", 90),
        ("tomas", 16, "black", 0.5, "WEBP", 80),
        ("ines", 0, "white", 1.6, "WEBP", 90),
        ("viktor", 4, "black", 0.8, "PNG", 0),
    ],
)
def test_a_sheet_is_split_into_its_pictures(who, gutter, colour, scale, kind, quality):
    pictures = [portrait(who, number) for number in range(4)]
    image = saved(sheet(pictures, gutter, colour, scale), kind, quality)
    found = boxes(image)
    assert found
    for box, picture in zip(found, pictures):
        piece = image.crop(box)
        assert all(abs(side - 640 * scale) <= 8 for side in piece.size)
        again = np.asarray(piece.resize((64, 64)), int) - np.asarray(picture.resize((64, 64)), int)
        assert np.abs(again).mean() < 8
        for edge in ((0, 0, 1, piece.height), (piece.width - 1, 0, piece.width, piece.height)):
            assert 20 < np.asarray(piece.crop(edge)).mean() < 250  # nothing of the gutter is left


@pytest.mark.parametrize("size", [(640, 400), (400, 640), (256, 256)])
def test_sheets_of_other_shapes(size):
    pictures = [portrait(who, 5).resize(size) for who in ("lena", "tomas", "mara", "viktor")]
    first, second, third, fourth = boxes(sheet(pictures))
    assert first == (0, 0, *size)
    assert fourth == (size[0], size[1], 2 * size[0], 2 * size[1])
    assert (second[0], third[1]) == size


def test_one_weak_half_seam_is_allowed():
    pictures = [portrait("clara", number) for number in range(4)]
    for number in (0, 1):  # the upper two end in the same wall
        side = (560, 0, 640, 640) if number == 0 else (0, 0, 80, 640)
        pictures[number].paste("#cfc4b8", side)
    ImageDraw.Draw(pictures[1]).rectangle((0, 450, 90, 640), fill="#402010")
    assert boxes(sheet(pictures))


def not_sheets():
    image = portrait("mara", 1)
    yield image
    yield image.resize((1400, 1400))
    yield image.crop((100, 0, 612, 640))
    for colour, wide in (("white", 8), ("black", 3), ("#7a5230", 14)):
        framed = image.copy()
        ImageDraw.Draw(framed).rectangle((320 - wide // 2, 0, 320 + wide // 2, 640), fill=colour)
        ImageDraw.Draw(framed).rectangle((0, 320 - wide // 2, 640, 320 + wide // 2), fill=colour)
        yield saved(framed, "JPEG", 85)
    halves = Image.new("RGB", (800, 800), "white")
    halves.paste("black", (400, 0, 800, 800))
    yield halves
    two = Image.new("RGB", (1280, 640))
    two.paste(image, (0, 0))
    two.paste(portrait("tomas", 1), (640, 0))
    yield two
    yield two.transpose(Image.Transpose.ROTATE_90)
    yield sheet([portrait("mara", n).resize((640, 200)) for n in range(4)])  # a strip
    yield sheet([portrait("mara", n).resize((120, 120)) for n in range(4)])  # too small
    nine = Image.new("RGB", (960, 960))
    for number in range(9):
        nine.paste(portrait("mara", number).resize((320, 320)), (number % 3 * 320, number // 3 * 320))
    yield nine
    yield Image.new("RGB", (1024, 1024), "grey")
    yield sheet([image] * 4).resize((640, 640)).crop((0, 0, 1, 1))


@pytest.mark.parametrize("number", range(14))
def test_what_is_no_sheet_is_left_whole(number):
    image = list(not_sheets())[number]
    assert boxes(image) is None


@settings(max_examples=40)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 40, 300]))
def test_random_pictures_are_no_sheets(width, height, seed, coarse):
    levels = np.random.default_rng(seed).integers(0, 256, (-(-height // coarse), -(-width // coarse), 3), np.uint8)
    image = Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)
    assert boxes(image) is None
