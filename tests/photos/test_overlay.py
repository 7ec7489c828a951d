"""Writing laid over a photo is hinted at, and nothing else is."""

import numpy as np
import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from lib_lora.photos.audit import findings, overlay
from lib_lora.photos.audit.overlay import letters_in_a_row


def scene(size=(640, 480)):
    """A landscape far out of focus."""
    random = np.random.default_rng(7)
    small = Image.fromarray(random.integers(60, 190, (6, 8, 3)).astype(np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(20))


@pytest.mark.parametrize("colour", ["white", "black", "yellow"])
@pytest.mark.parametrize("size", [20, 36])
@pytest.mark.parametrize("text", ["SAMPLE PICTURES", "mara 2024 copy"])
def test_a_line_of_writing_is_found(colour, size, text):
    lettered = planted.lettered(scene(), text, colour, size)
    assert letters_in_a_row(lettered) >= findings.LETTERS
    assert letters_in_a_row(scene()) < findings.LETTERS


@pytest.mark.parametrize("side", [(640, 480), (1600, 1200), (3000, 2250)])
def test_writing_is_found_at_any_size_of_the_photo(side):
    assert letters_in_a_row(planted.lettered(scene(side))) >= findings.LETTERS


@pytest.mark.parametrize("name", ["mara", "viktor"])
def test_writing_is_found_on_a_portrait_and_not_without_it(name):
    own = planted.opened(planted.portraits(name)[0])
    assert letters_in_a_row(own) < findings.LETTERS
    assert letters_in_a_row(planted.lettered(own)) >= findings.LETTERS


def bars(count, height=24, gap=14, places=None, fill="white"):
    """Upright strokes on grey."""
    image = Image.new("RGB", (640, 200), (110, 110, 110))
    for number in range(count):
        left, top = 60 + number * (10 + gap), 80 + (places[number] if places else 0)
        ImageDraw.Draw(image).rectangle((left, top, left + 9, top + height - 1), fill)
    return image


@pytest.mark.parametrize("fill", ["white", "black"])
@pytest.mark.parametrize("count", [2, 4, 5, 9])
def test_shapes_in_a_row_are_counted(count, fill):
    assert letters_in_a_row(bars(count, gap=20, fill=fill)) == count


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (bars(6, height=6, gap=6), "too low"),
        (bars(6, gap=60), "too far apart"),
        (bars(6, places=[0, 60, -60, 0, 60, -60]), "not on one line"),
    ],
)
def test_shapes_that_make_no_line_are_no_writing(image, why):
    assert letters_in_a_row(image) < findings.LETTERS, why


def test_what_is_in_the_face_is_left_out():
    image = bars(8)
    assert letters_in_a_row(image, (0.0, 0.0, 1.0, 1.0)) == 0
    assert letters_in_a_row(image, (0.0, 0.0, 1.0, 0.2)) == 8
    assert letters_in_a_row(image, (0.0, 0.0, 0.24, 1.0)) == 4


def test_the_picture_is_not_changed():
    image = planted.lettered(scene((1600, 1200)))
    before = image.tobytes()
    letters_in_a_row(image)
    assert (image.size, image.tobytes()) == ((1600, 1200), before)


@given(st.integers(1, 900), st.integers(1, 900), st.tuples(*[st.integers(0, 255)] * 3))
@settings(max_examples=25)
def test_a_flat_picture_of_any_size_has_no_writing(width, height, colour):
    assert letters_in_a_row(Image.new("RGB", (width, height), colour)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (769, 1), (5000, 7)])
def test_a_picture_of_odd_shape_is_no_obstacle(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    assert letters_in_a_row(Image.fromarray(noise)) >= 0


BOX = st.tuples(*[st.floats(-1, 2)] * 4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 160), st.integers(1, 160), st.integers(1, 12), st.none() | BOX)
@settings(max_examples=40)
def test_noise_of_any_grain_is_no_obstacle(seed, width, height, grain, box):
    small = np.random.default_rng(seed).integers(0, 256, (height // grain + 1, width // grain + 1, 3)).astype(np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)
    assert 0 <= letters_in_a_row(image, box) <= width


@given(st.lists(st.tuples(*[st.integers(0, 200)] * 2, *[st.integers(2, 60)] * 2), max_size=12))
def test_a_run_is_never_longer_than_there_are_shapes(boxes):
    boxes = sorted(set(boxes))
    assert overlay._longest(boxes) <= len(boxes)
    assert overlay._longest(boxes[:1]) == 0


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 255)), min_size=1, max_size=60))
def test_a_shape_is_plain_by_numpys_quantile_and_median(pixels):
    grey, strokes = np.array(pixels, np.uint8).T
    clearest = grey[strokes >= np.quantile(strokes, 1 - overlay._CLEAREST)].astype(np.float32)
    plain = float(clearest.std()) <= overlay.PLAIN * float(np.median(strokes))
    assert overlay._is_plain(grey, strokes) == plain
