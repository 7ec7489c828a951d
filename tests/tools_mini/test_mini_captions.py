"""Captions from measurements: what is said, what is not, and what mirroring changes."""

import numpy as np
import pytest

from tools.mini import captions
from tools.mini.captions import Measured

FRONT = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.41, 0.6], [0.59, 0.6]])
PLAIN = Measured(yaw=0.0, smile=0.88, background=110, chroma=10, hair=80)


def _turned(by):
    points = FRONT.copy()
    points[2, 0] += by
    return points


def test_yaw_and_smile_are_ratios_to_the_distance_of_the_eyes():
    assert captions.yaw(_turned(0.05)) == pytest.approx(0.25)
    assert captions.yaw(_turned(-0.05) * 128) == pytest.approx(-0.25)
    assert captions.smile(FRONT) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["looking ahead"]),
        ({"yaw": 0.1}, []),
        ({"yaw": -0.14}, ["looking left"]),
        ({"yaw": 0.14}, ["looking right"]),
        ({"smile": 0.85}, ["looking ahead", "serious"]),
        ({"smile": 0.92}, ["looking ahead", "smiling"]),
        ({"background": 84}, ["looking ahead", "dark background"]),
        ({"background": 141, "chroma": 60}, ["looking ahead", "light background", "coloured background"]),
        ({"background": 60, "chroma": 60}, ["looking ahead", "dark background"]),
        ({"hair": 40}, ["looking ahead", "dark hair"]),
        ({"hair": 120}, ["looking ahead", "light hair"]),
    ],
)
def test_only_what_is_clear_is_said(change, expected):
    assert captions.words(Measured(**{**vars(PLAIN), **change})) == expected


def test_a_picture_that_gets_a_word_obeys_it():
    for yaw in np.linspace(-0.4, 0.4, 9):
        for level in (30, 110, 200):
            seen = Measured(float(yaw), 0.7 + level / 800, level, 0, level)
            assert all(captions.obeys(seen, word) for word in captions.words(seen))


def test_corners_and_hair_are_measured_where_they_are():
    pixels = np.full((128, 128, 3), 120, np.uint8)
    pixels[:16, :16], pixels[:16, -16:] = (200, 0, 0), (200, 0, 0)
    pixels[20:30, 40:90] = 10
    seen = captions.measure(pixels, FRONT, np.array([0.25, 30 / 128, 0.5, 0.6]))
    assert seen.background == pytest.approx(0.299 * 200)
    assert seen.chroma == 200
    assert seen.hair == pytest.approx(10)


def test_a_box_over_the_edge_is_measured_all_the_same():
    pixels = np.full((64, 64, 3), 50, np.uint8)
    assert captions.measure(pixels, FRONT, np.array([-0.3, -0.1, 0.4, 1.2])).hair == pytest.approx(50)


def test_mirroring_swaps_left_and_right_only():
    assert captions.mirrored(["looking left", "serious"]) == ["looking right", "serious"]
    assert captions.mirrored(["looking right"]) == ["looking left"]


def test_captions_drop_shuffle_and_empty_as_often_as_they_should():
    said = ["looking left", "smiling", "dark background"]
    made = [captions.caption(said, np.random.default_rng(n)) for n in range(2000)]
    without = [text for text in made if not any(word in text for word in said)]
    with_left = sum("looking left" in text for text in made) / len(made)
    assert with_left == pytest.approx(0.9 * captions.KEEP, abs=0.03)
    assert sum(not text for text in made) / len(made) == pytest.approx(0.06, abs=0.02)
    assert len(without) / len(made) == pytest.approx(0.1 + 0.9 * 0.25**3, abs=0.02)
    firsts = {text.split(", ")[1] for text in made if text.count(", ") == 3}
    assert set(said) <= firsts


def test_clear_and_rare_pictures_are_drawn_more_often():
    turned, serious = (Measured(**{**vars(PLAIN), **change}) for change in ({"yaw": 0.3}, {"smile": 0.8}))
    assert captions.weight(PLAIN) == 1
    assert captions.weight(turned) > 1
    assert captions.weight(serious) > 1
