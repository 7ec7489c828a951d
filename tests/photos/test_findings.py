"""The rules for one photo: where each begins, and what it says."""

import pytest
from audit_toys import FACTS, STANDINGS, face, photo
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.captions.photo_facts import AuditedPhoto, PhotoComparison, PhotoFacts
from lib_lora.photos.audit import findings


def found(shown, resolution=512, usual=300.0):
    return findings.of_photo(shown, resolution, usual)


def kinds(shown, **others):
    return [finding.kind for finding in found(shown, **others)]


def test_a_good_photo_is_left_in_peace():
    assert found(photo()) == []


# What of the face, just not wrong, just wrong; kind, advice, the value and the limit as they stand in the sentence.
OF_FACE = [
    ({"px": 64}, {"px": 63}, "tiny face", "look", "63", "64"),
    ({"px": 32}, {"px": 31}, "tiny face", "drop", "31", "64"),
    ({"blur": 50}, {"blur": 49}, "blurred", "look", "49", "50"),
    ({"blur": 15}, {"blur": 14}, "blurred", "drop", "14", "50"),
    ({"shown": 0.85}, {"shown": 0.84}, "cut off", "look", "84.0%", "85%"),
    ({"shown": 0.6}, {"shown": 0.59}, "cut off", "drop", "59.0%", "85%"),
    ({"roll": 50}, {"roll": 51}, "tilted", "look", "51", "50"),
    ({"roll": -50}, {"roll": -51}, "tilted", "look", "51", "50"),
    ({"light": 45}, {"light": 44}, "dark", "look", "44", "45"),
    ({"light": 220}, {"light": 221}, "bright", "look", "221", "220"),
    ({"white": 0.15}, {"white": 0.16}, "bright", "look", "16%", "15%"),
    ({"black": 0.15}, {"black": 0.16}, "dark", "look", "16%", "15%"),
    ({"score": 0.8}, {"score": 0.79}, "unsure", "look", "0.790", "0.8"),
]


@pytest.mark.parametrize(("right", "wrong", "kind", "advice", "value", "limit"), OF_FACE)
def test_a_face_is_found_fault_with_just_beyond_the_limit(right, wrong, kind, advice, value, limit):
    assert (kind, advice) not in [(one.kind, one.advice) for one in found(photo(of_face=right))]
    (finding,) = found(photo(of_face=wrong))
    assert (finding.photo, finding.kind, finding.advice) == ("a.jpg", kind, advice)
    assert finding.text.startswith("a.jpg: ")
    assert finding.text.endswith(".")
    before, after = finding.text.split("limit ")
    assert value in before
    assert after.startswith(limit)
    assert finding.value == abs(next(iter(wrong.values())))
    assert float(limit.rstrip("%")) == pytest.approx(finding.limit * (100 if "%" in limit else 1))


# What of the photo, just not wrong, just wrong; kind, the value and the limit as they stand in the sentence.
OF_FRAME = [
    (
        {"width": 342, "height": 342},
        {"width": 340, "height": 340},
        "low resolution",
        "enlarged 1.51 times",
        "up to 1.5",
    ),
    (
        {"width": 900, "height": 342},
        {"width": 900, "height": 256},
        "low resolution",
        "enlarged 2.00 times",
        "up to 1.5",
    ),
    ({"width": 2500, "height": 1000}, {"width": 2600, "height": 1000}, "long", "2.60 to 1", "limit 2.5"),
    ({"width": 1000, "height": 2500}, {"width": 1000, "height": 2600}, "long", "2.60 to 1", "limit 2.5"),
    ({"letters": 4}, {"letters": 5}, "writing", "5 letters", "5 are enough"),
    ({"letters": 4}, {"letters": 12}, "writing", "12 letters", "5 are enough"),
]


@pytest.mark.parametrize(("right", "wrong", "kind", "value", "limit"), OF_FRAME)
def test_a_frame_is_found_fault_with_just_beyond_the_limit(right, wrong, kind, value, limit):
    assert kind not in kinds(photo(**right))
    (finding,) = [one for one in found(photo(**wrong)) if one.kind == kind]
    assert finding.advice == "look"
    assert value in finding.text
    assert limit in finding.text
    assert finding.value >= finding.limit


def test_what_is_too_small_depends_on_what_is_trained():
    shown = photo(width=600, height=600)
    assert [kinds(shown, resolution=side) for side in (512, 900, 901, 1024)] == [
        [],
        [],
        ["low resolution"],
        ["low resolution"],
    ]
    assert "600 x 600 pixels and must be enlarged 1.71 times for 1024" in found(shown, resolution=1024)[0].text


@pytest.mark.parametrize(("usual", "expected"), [(600, []), (599.9, []), (600.2, ["blurred"]), (None, [])])
def test_a_face_far_softer_than_the_others_is_worth_a_look(usual, expected):
    assert kinds(photo(of_face={"blur": 60.0}), usual=usual) == expected


def test_the_softer_face_is_told_with_its_value_and_a_tenth_of_the_median():
    (finding,) = found(photo(of_face={"blur": 60.0}), usual=1000)
    assert "(60; a tenth of the median is 100)" in finding.text
    assert (finding.advice, finding.value, finding.limit) == ("look", 60, 100)


def test_a_blurred_face_is_told_once():
    assert kinds(photo(of_face={"blur": 20.0}), usual=1000) == ["blurred"]


def test_a_face_that_is_bad_otherwise_is_not_called_unsure_as_well():
    assert kinds(photo(of_face={"score": 0.1, "px": 40})) == ["tiny face"]


def test_several_things_wrong_with_a_face_are_all_told():
    assert kinds(photo(of_face={"px": 40, "blur": 20, "shown": 0.5, "roll": 90})) == [
        "tiny face",
        "blurred",
        "cut off",
        "tilted",
    ]


def test_in_the_dark_nothing_else_is_asked_of_the_face():
    assert kinds(photo(of_face={"light": 20, "blur": 1, "px": 10, "score": 0.1})) == ["dark"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"light": 20, "black": 0.5}, [("dark", "grey level 20")]),
        ({"light": 240, "white": 0.5}, [("bright", "grey level 240")]),
        ({"white": 0.4, "black": 0.3}, [("bright", "40%"), ("dark", "30%")]),
    ],
)
def test_dark_and_bright_are_told_once_each(wrong, expected):
    told = sorted(found(photo(of_face=wrong)), key=lambda one: one.kind)
    assert [one.kind for one in told] == [kind for kind, _ in expected]
    assert all(words in one.text for one, (_, words) in zip(told, expected))


def side(share, left=0.0, top=0.0):
    """A face whose area is this share of one of 0.2 x 0.2."""
    return face(box=(left, top, 0.2, 0.2 * share))


@pytest.mark.parametrize(("share", "expected"), [(0.31, ["several people"]), (0.29, []), (1.0, ["several people"])])
def test_a_second_face_counts_where_it_is_nearly_as_large(share, expected):
    assert kinds(photo(faces=[side(1), side(share, 0.5)])) == expected


def test_several_people_are_counted_and_measured():
    (finding,) = found(photo(faces=[side(1), side(0.5), side(0.4), side(0.1)]))
    assert "3 faces" in finding.text
    assert "50.0%" in finding.text
    assert "limit is 30%" in finding.text
    assert (finding.advice, finding.limit) == ("drop", 0.3)
    assert finding.value == pytest.approx(0.5)


QUARTERS = ((0.1, 0.1), (0.6, 0.1), (0.1, 0.6), (0.6, 0.6))


@pytest.mark.parametrize(
    ("places", "kind"),
    [
        (QUARTERS, "sheet"),
        (QUARTERS[::-1], "sheet"),
        ((*QUARTERS[:3], (0.1, 0.7)), "several people"),
        (QUARTERS[:3], "several people"),
        ((*QUARTERS, (0.6, 0.7)), "several people"),
    ],
)
def test_a_sheet_has_one_face_in_each_quarter(places, kind):
    (finding,) = found(photo(faces=[side(1, *place) for place in places]))
    assert (finding.kind, finding.advice) == (kind, "drop")


def test_small_faces_behind_do_not_make_a_sheet():
    assert kinds(photo(faces=[side(1 if place == (0.1, 0.1) else 0.2, *place) for place in QUARTERS])) == []


def test_a_photo_without_a_face_is_proposed_to_go():
    (finding,) = found(photo(faces=[]), usual=None)
    assert (finding.kind, finding.advice, finding.value) == ("no face", "drop", None)
    assert finding.text.startswith("a.jpg: no face")


def test_of_a_photo_that_cannot_be_read_only_that_is_said():
    said = "a.jpg is damaged (bad header); replace or remove it."
    standing = PhotoComparison(copy_of="b.jpg", unlike=True, likeness=0.0, usual=0.5)
    (finding,) = found(AuditedPhoto("a.jpg", "0" * 64, PhotoFacts(0, 0, said), standing), usual=None)
    assert (finding.kind, finding.text, finding.advice) == ("unreadable", said, "drop")


@pytest.mark.parametrize(
    ("standing", "kind", "words"),
    [
        (PhotoComparison(copy_of="b.jpg"), "copy", "a.jpg is the same picture as b.jpg"),
        (PhotoComparison(burst_of="b.jpg"), "burst", "a.jpg shows the same moment as b.jpg"),
        (PhotoComparison(copy_of="b.jpg", burst_of="c.jpg"), "copy", "b.jpg"),
        (PhotoComparison(0.123, 0.567, True), "another person", "(likeness 0.12, usual is 0.57)"),
    ],
)
def test_how_a_photo_stands_to_the_others_is_told(standing, kind, words):
    (finding,) = found(photo(standing=standing))
    assert (finding.kind, finding.advice) == (kind, "drop")
    assert words in finding.text


@pytest.mark.parametrize(
    "standing", [PhotoComparison(0.1, 0.6), PhotoComparison(None, 0.6, True), PhotoComparison(0.1, None, True)]
)
def test_nobody_is_a_stranger_without_being_said_and_measured(standing):
    assert found(photo(standing=standing)) == []


@pytest.mark.parametrize("hidden", [{"light": 20}, {"blur": 5}, {"px": 20}, {"shown": 0.4}, {"score": 0.2}])
def test_a_face_that_can_hardly_be_seen_is_no_stranger(hidden):
    standing = PhotoComparison(0.1, 0.6, True)
    assert "another person" not in kinds(photo(of_face=hidden, standing=standing))
    assert "another person" in kinds(photo(width=300, height=300, standing=standing))


@given(FACTS, STANDINGS, st.sampled_from([512, 768, 1024]), st.none() | st.floats(0, 20_000))
def test_whatever_was_measured_makes_whole_sentences(facts, standing, resolution, usual):
    told = findings.of_photo(AuditedPhoto("a.jpg", "0" * 64, facts, standing), resolution, usual)
    for finding in told:
        assert finding.text.startswith("a.jpg")
        assert finding.text.endswith(".")
        assert "{" not in finding.text
        assert "nan" not in finding.text
        assert finding.photo == "a.jpg"
        assert (finding.value is None) == (finding.limit is None)
    assert len({one.kind for one in told}) == len(told)
    assert bool(told) or facts.face is not None


def test_likenesses_stand_beside_their_limits():
    (copy,) = found(photo(standing=PhotoComparison(copy_of="b.jpg", alike=0.984)))
    assert "which is better (likeness of the faces 0.984, limit 0.97)." in copy.text
    assert (copy.value, copy.limit) == (0.984, 0.97)
    (burst,) = found(photo(standing=PhotoComparison(burst_of="b.jpg", alike=0.961)))
    assert "(likeness of the faces 0.961, limit 0.95); one will do." in burst.text
    (stranger,) = found(photo(standing=PhotoComparison(0.12, 0.57, True, reach=0.4)))
    assert "(likeness 0.12, usual is 0.57, and strangers can have 0.40): another person" in stranger.text
    assert (stranger.value, stranger.limit) == (0.12, 0.4)
    (twin,) = found(photo(standing=PhotoComparison(same_as="b.jpg")))
    assert (twin.kind, twin.advice) == ("copy", "look")
