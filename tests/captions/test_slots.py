"""Words for a caption from numbers: where each begins, and that what lies between two gets neither."""

import pytest
from audit_toys import FACES, READABLE, face, photo
from hypothesis import given

from lib_lora.captions import slots

FRAMINGS = ["close-up", "upper body", "full body"]
BACKDROPS = ["dark background", "light background"]


@pytest.mark.parametrize(
    ("height", "expected"),
    [(0.36, "close-up"), (0.35, "upper body"), (0.13, "upper body"), (0.12, "full body"), (0.01, "full body")],
)
def test_framing_follows_from_the_faces_height(height, expected):
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
    ("told", "word"),
    [("smiling", "smiling"), ("slight smile", "slight smile"), ("serious", "serious expression"), ("", "")],
)
def test_an_expression_gets_a_word_where_it_is_clear(told, word):
    assert slots.expression(face(expression=told)) == word


@pytest.mark.parametrize(
    ("level", "expected"),
    [(69.9, "dark background"), (70.0, ""), (128.0, ""), (185.0, ""), (185.1, "light background")],
)
def test_a_background_between_dark_and_light_gets_no_word(level, expected):
    assert slots.backdrop(photo(level=level).facts) == expected


def test_words_stand_in_the_order_of_a_caption():
    shown = photo(of_face={"box": (0, 0, 0.5, 0.5), "expression": "smiling"}, level=20.0)
    assert slots.words(shown.facts) == ["close-up", "looking at the camera", "smiling", "dark background"]


def test_the_largest_face_is_the_one_that_is_described():
    assert slots.words(photo(faces=[face(yaw=0.9), face(yaw=-0.9)]).facts) == ["upper body", "profile, looking right"]


def test_without_a_face_nothing_is_described():
    assert slots.words(photo(faces=[], level=20.0).facts) == []


@given(READABLE)
def test_each_word_is_said_once_and_only_of_a_face(facts):
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
