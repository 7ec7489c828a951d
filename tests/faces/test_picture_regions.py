"""Where the background and the clothes are, for any box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.faces import picture_regions as regions

SIDE = st.integers(1, 60)
SHARE = st.floats(-3, 3)
SIZE = st.floats(0, 5)
BOX = st.tuples(SHARE, SHARE, SIZE, SIZE)


@given(SIDE, SIDE, st.none() | BOX)
def test_masks_have_the_photos_shape_and_there_is_always_a_background(width, height, box):
    behind, worn = regions.background(width, height, box), regions.clothes(width, height, box)
    for mask in (behind, worn):
        assert mask.shape == (height, width)
        assert mask.dtype == np.bool_
    assert behind.any()


@given(SIDE, SIDE, BOX)
def test_clothes_lie_beneath_the_face_and_no_wider_than_three_of_it(width, height, box):
    rows, columns = np.nonzero(regions.clothes(width, height, box))
    left, top, across, down = box
    assert ((rows + 0.5) / height > top + 1.5 * down).all()
    assert ((rows + 0.5) / height < top + 4 * down).all()
    assert (np.abs((columns + 0.5) / width - left - across / 2) < 1.5 * across).all()


@given(st.integers(20, 60), st.integers(20, 60), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 0.15))
def test_a_small_face_and_its_body_are_no_background(width, height, left, top, size):
    behind = regions.background(width, height, (left, top, size, size))
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    inside = ((y > top) & (y < top + size))[:, None] & ((x > left) & (x < left + size))[None, :]
    body = (y > top + 1.01 * size)[:, None] & ((x > left) & (x < left + size))[None, :]
    assert not behind[inside].any()
    assert not behind[body].any()
    assert not (behind & regions.clothes(width, height, (left, top, size, size))).any()


def test_without_a_face_all_is_background_and_nothing_clothes():
    assert regions.background(5, 3, None).all()
    assert not regions.clothes(5, 3, None).any()


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (50, 30, "head"),
        (50, 12, "head"),  # hair: half a face above
        (68, 30, "head"),  # and beside
        (50, 8, "background"),
        (72, 30, "background"),
        (50, 42, "body"),  # the neck: neither background nor clothes
        (50, 60, "clothes"),
        (22, 60, "clothes"),
        (78, 60, "clothes"),
        (18, 60, "background"),
        (82, 60, "background"),
        (50, 98, "clothes"),
    ],
)
def test_a_portrait_falls_into_head_body_clothes_and_background(x, y, what):
    box = (0.4, 0.2, 0.2, 0.2)
    behind, worn = regions.background(100, 100, box), regions.clothes(100, 100, box)
    assert behind[y, x] == (what == "background")
    assert worn[y, x] == (what == "clothes")


def test_clothes_end_where_the_legs_begin():
    worn = regions.clothes(100, 100, (0.45, 0.05, 0.1, 0.1))
    assert worn[43, 50]
    assert not worn[47, 50]


def test_of_a_close_up_the_upper_corners_are_taken():
    behind = regions.background(100, 100, (0.2, 0.1, 0.6, 0.8))
    assert behind[:35, :14].all()
    assert behind[:35, 86:].all()
    assert not behind[35:].any()
    assert not behind[:, 14:86].any()


def test_a_face_that_covers_the_corners_too_leaves_the_whole_photo():
    assert regions.background(40, 40, (-0.5, -0.5, 2, 2)).all()
