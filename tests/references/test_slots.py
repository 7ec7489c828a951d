"""Words for a caption from numbers: where each begins, and that what lies between two gets neither."""

import cv2
import numpy as np
import pytest
from audit_toys import FACES, READABLE, face, photo
from hypothesis import given

from lib_lora.jobs.looking import teeth
from lib_lora.references import slots

FRAMINGS = ["close-up", "upper body", "full body"]
BACKDROPS = ["dark background", "light background"]


@pytest.mark.parametrize(
    ("height", "expected"),
    [(0.36, "close-up"), (0.35, "upper body"), (0.13, "upper body"), (0.12, "full body"), (0.01, "full body")],
)
def test_framing_is_told_by_the_faces_height(height, expected):
    assert slots.framing(face(box=(0, 0, 0.9, height))) == expected


@pytest.mark.parametrize(
    ("yaw", "words", "angle"),
    [
        (0.0, "looking at the camera", "ahead"),
        (0.14, "looking at the camera", "ahead"),
        (0.15, "", "ahead"),
        (0.34, "", "ahead"),
        (0.35, "looking {}", "from the {}"),
        (0.79, "looking {}", "from the {}"),
        (0.8, "profile, looking {}", "profile from the {}"),
        (1.0, "profile, looking {}", "profile from the {}"),
    ],
)
def test_left_is_left_as_the_viewer_sees_it(yaw, words, angle):
    for sign, side in ((-1, "left"), (1, "right")):
        turned = face(yaw=sign * yaw)
        assert (slots.direction(turned), slots.angle(turned)) == (words.format(side), angle.format(side))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"teeth": 45.1}, "smiling"),
        ({"teeth": 45.0}, ""),
        ({"teeth": 0.0}, ""),
        ({"teeth": None}, ""),
        ({"teeth": 90.0, "px": 64}, "smiling"),
        ({"teeth": 90.0, "px": 63.9}, ""),
        ({"teeth": 90.0, "yaw": 0.34}, "smiling"),
        ({"teeth": 90.0, "yaw": 0.35}, ""),
        ({"teeth": 90.0, "yaw": -0.35}, ""),
    ],
)
def test_a_smile_is_told_only_where_teeth_can_be_seen(changes, expected):
    assert slots.expression(face(**changes)) == expected


@pytest.mark.parametrize(
    ("level", "expected"),
    [(69.9, "dark background"), (70.0, ""), (128.0, ""), (185.0, ""), (185.1, "light background")],
)
def test_a_background_between_dark_and_light_gets_no_word(level, expected):
    assert slots.backdrop(photo(level=level).facts) == expected


def test_words_stand_in_the_order_of_a_caption():
    shown = photo(of_face={"box": (0, 0, 0.5, 0.5), "teeth": 90.0}, level=20.0)
    assert slots.words(shown.facts) == ["close-up", "looking at the camera", "smiling", "dark background"]


def test_the_largest_face_is_the_one_that_is_told():
    assert slots.words(photo(faces=[face(yaw=0.9), face(yaw=-0.9)]).facts) == ["upper body", "profile, looking right"]


def test_without_a_face_nothing_is_told():
    assert slots.words(photo(faces=[], level=20.0).facts) == []


@given(READABLE)
def test_each_word_is_told_once_and_only_of_a_face(facts):
    told = slots.words(facts)
    assert all(told)
    assert len(told) == len(set(told))
    assert sum(word in FRAMINGS for word in told) == (facts.face is not None)
    assert sum(word in BACKDROPS for word in told) <= 1
    assert sum("looking" in word for word in told) <= 1


@given(FACES)
def test_a_mirrored_face_looks_the_other_way(shown):
    mirrored = face(**{**vars(shown), "yaw": -shown.yaw})
    swap = {"left": "right", "right": "left"}
    for word in (slots.direction, slots.angle):
        if shown.yaw:
            assert word(mirrored).split() == [swap.get(one, one) for one in word(shown).split()]


SKIN, LIP, TEETH, SHADOW = (205, 165, 145), (165, 80, 80), (240, 235, 225), (60, 25, 25)


def mouth(between, above=LIP, beneath=LIP):
    """An aligned crop with a painted mouth: a lip, what is between the lips, a lip."""
    crop = np.full((112, 112, 3), SKIN, np.uint8)
    cv2.rectangle(crop, (40, 85), (72, 88), above, -1)
    cv2.rectangle(crop, (40, 89), (72, 94), between, -1)
    cv2.rectangle(crop, (40, 95), (72, 99), beneath, -1)
    return crop


def test_teeth_between_lips_make_a_smile():
    assert teeth(mouth(TEETH)) > slots.SMILING
    assert slots.expression(face(teeth=teeth(mouth(TEETH)))) == "smiling"


@pytest.mark.parametrize(
    ("crop", "limit"),
    [
        (mouth(LIP), 30),
        (mouth(SHADOW), 30),
        (mouth(SKIN, SKIN, SKIN), 30),
        (mouth((205, 190, 180), above=(245, 185, 185)), 30),
        (mouth(TEETH, SKIN, SKIN), slots.SMILING),
        (mouth(LIP, TEETH, LIP), slots.SMILING),
    ],
    ids=[
        "closed",
        "open without teeth",
        "no mouth",
        "a shining upper lip",
        "white without lips",
        "white above the lips",
    ],
)
def test_a_mouth_without_teeth_between_lips_is_no_smile(crop, limit):
    assert 0 <= teeth(crop) < limit


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_crop_has_no_teeth(level):
    assert teeth(np.full((112, 112, 3), level, np.uint8)) == 0
