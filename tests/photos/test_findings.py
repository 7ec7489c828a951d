"""The rules for one photo: where each begins, and what it says."""

import pytest
from audit_toys import FACTS, STANDINGS, face, photo
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.captions.photo_facts import AuditedPhoto, PhotoComparison, PhotoFacts
from lib_lora.photos.audit import findings
from lib_lora.photos.audit.finding_words import beside_photo, sentence


def found(shown, resolution=512, usual=300.0):
    return findings.of_photo(shown, resolution, usual)


def codes(shown, **others):
    return [finding.code for finding in found(shown, **others)]


def test_a_good_photo_is_left_in_peace():
    assert found(photo()) == []


# What of the face, just not wrong, just wrong; kind, advice, the value and the limit as they stand in the sentence.
OF_FACE = [
    ({"px": 64}, {"px": 63}, "small-face", "look", "63", "64"),
    ({"px": 32}, {"px": 31}, "small-face", "drop", "31", "64"),
    ({"blur": 50}, {"blur": 49}, "blurred-face", "look", "49", "50"),
    ({"blur": 15}, {"blur": 14}, "blurred-face", "drop", "14", "50"),
    ({"shown": 0.85}, {"shown": 0.84}, "cut-off-face", "look", "84.0%", "85%"),
    ({"shown": 0.6}, {"shown": 0.59}, "cut-off-face", "drop", "59.0%", "85%"),
    ({"roll": 50}, {"roll": 51}, "tilted-head", "look", "51", "50"),
    ({"roll": -50}, {"roll": -51}, "tilted-head", "look", "51", "50"),
    ({"light": 45}, {"light": 44}, "dark-face", "look", "44", "45"),
    ({"light": 220}, {"light": 221}, "bright-face", "look", "221", "220"),
    ({"white": 0.15}, {"white": 0.16}, "white-areas", "look", "16%", "15%"),
    ({"black": 0.15}, {"black": 0.16}, "black-areas", "look", "16%", "15%"),
    ({"score": 0.8}, {"score": 0.79}, "unsure-face", "look", "0.790", "0.8"),
]


@pytest.mark.parametrize(("right", "wrong", "code", "advice", "value", "limit"), OF_FACE)
def test_a_face_is_found_fault_with_just_beyond_the_limit(right, wrong, code, advice, value, limit):
    assert (code, advice) not in [(one.code, one.advice) for one in found(photo(of_face=right))]
    (finding,) = found(photo(of_face=wrong))
    assert (finding.photo, finding.code, finding.advice) == ("a.jpg", code, advice)
    assert sentence(finding).startswith("a.jpg: ")
    assert sentence(finding).endswith(".")
    before, after = sentence(finding).split("limit ")
    assert value in before
    assert after.startswith(limit)
    assert finding.value == abs(next(iter(wrong.values())))
    assert float(limit.rstrip("%")) == pytest.approx(finding.limit * (100 if "%" in limit else 1))


# What of the photo, just not wrong, just wrong; kind, the value and the limit as they stand in the sentence.
OF_FRAME = [
    (
        {"width": 342, "height": 342},
        {"width": 340, "height": 340},
        "low-resolution",
        "enlarged 1.51 times",
        "up to 1.5",
    ),
    (
        {"width": 900, "height": 342},
        {"width": 900, "height": 256},
        "low-resolution",
        "enlarged 2.00 times",
        "up to 1.5",
    ),
    ({"width": 2500, "height": 1000}, {"width": 2600, "height": 1000}, "long-photo", "2.60 to 1", "limit 2.5"),
    ({"width": 1000, "height": 2500}, {"width": 1000, "height": 2600}, "long-photo", "2.60 to 1", "limit 2.5"),
    ({"letters": 4}, {"letters": 5}, "writing", "5 letters", "limit 5"),
    ({"letters": 4}, {"letters": 12}, "writing", "12 letters", "limit 5"),
]


@pytest.mark.parametrize(("right", "wrong", "code", "value", "limit"), OF_FRAME)
def test_a_frame_is_found_fault_with_just_beyond_the_limit(right, wrong, code, value, limit):
    assert code not in codes(photo(**right))
    (finding,) = [one for one in found(photo(**wrong)) if one.code == code]
    assert finding.advice == "look"
    assert value in sentence(finding)
    assert limit in sentence(finding)
    assert finding.value >= finding.limit


def test_what_is_too_small_depends_on_what_is_trained():
    shown = photo(width=600, height=600)
    assert [codes(shown, resolution=side) for side in (512, 900, 901, 1024)] == [
        [],
        [],
        ["low-resolution"],
        ["low-resolution"],
    ]
    assert "600 x 600 pixels and must be enlarged 1.71 times for 1024" in sentence(found(shown, resolution=1024)[0])


@pytest.mark.parametrize(("usual", "expected"), [(600, []), (599.9, []), (600.2, ["soft-face"]), (None, [])])
def test_a_face_far_softer_than_the_others_is_worth_a_look(usual, expected):
    assert codes(photo(of_face={"blur": 60.0}), usual=usual) == expected


def test_the_softer_face_is_reported_with_its_value_and_a_tenth_of_the_median():
    (finding,) = found(photo(of_face={"blur": 60.0}), usual=1000)
    assert "(60; a tenth of the median is 100)" in sentence(finding)
    assert (finding.advice, finding.value, finding.limit) == ("look", 60, 100)


def test_a_blurred_face_is_reported_once():
    assert codes(photo(of_face={"blur": 20.0}), usual=1000) == ["blurred-face"]


def test_a_face_that_is_bad_otherwise_is_not_called_unsure_as_well():
    assert codes(photo(of_face={"score": 0.1, "px": 40})) == ["small-face"]


@pytest.mark.parametrize(("px", "expected"), [(32, ["writing", "small-face"]), (31, ["small-face"])])
def test_nobody_is_advised_to_crop_the_writing_off_a_photo_whose_face_is_too_small_to_keep(px, expected):
    assert codes(photo(letters=9, of_face={"px": px})) == expected


def test_several_things_wrong_with_a_face_are_all_reported():
    assert codes(photo(of_face={"px": 40, "blur": 20, "shown": 0.5, "roll": 90})) == [
        "small-face",
        "blurred-face",
        "cut-off-face",
        "tilted-head",
    ]


def test_in_the_dark_nothing_else_is_asked_of_the_face():
    assert codes(photo(of_face={"light": 20, "blur": 1, "px": 10, "score": 0.1})) == ["dark-face"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"light": 20, "black": 0.5}, [("dark-face", "grey level 20")]),
        ({"light": 240, "white": 0.5}, [("bright-face", "grey level 240")]),
        ({"white": 0.4, "black": 0.3}, [("black-areas", "30%"), ("white-areas", "40%")]),
    ],
)
def test_dark_and_bright_are_reported_once_each(wrong, expected):
    told = sorted(found(photo(of_face=wrong)), key=lambda one: one.code)
    assert [one.code for one in told] == [code for code, _ in expected]
    assert all(words in sentence(one) for one, (_, words) in zip(told, expected))


def side(share, left=0.0, top=0.0):
    """A face whose area is this share of one of 0.2 x 0.2."""
    return face(box=(left, top, 0.2, 0.2 * share))


@pytest.mark.parametrize(("share", "expected"), [(0.31, ["several-faces"]), (0.29, []), (1.0, ["several-faces"])])
def test_a_second_face_counts_where_it_is_nearly_as_large(share, expected):
    assert codes(photo(faces=[side(1), side(share, 0.5)])) == expected


def test_several_people_are_counted_and_measured():
    (finding,) = found(photo(faces=[side(1), side(0.5), side(0.4), side(0.1)]))
    assert finding.details == {"faces": 3}
    assert "50.0%" in sentence(finding)
    assert "limit 30%" in sentence(finding)
    assert (finding.advice, finding.limit) == ("drop", 0.3)
    assert finding.value == pytest.approx(0.5)


QUARTERS = ((0.1, 0.1), (0.6, 0.1), (0.1, 0.6), (0.6, 0.6))


@pytest.mark.parametrize(
    ("places", "code"),
    [
        (QUARTERS, "sheet-of-four"),
        (QUARTERS[::-1], "sheet-of-four"),
        ((*QUARTERS[:3], (0.1, 0.7)), "several-faces"),
        (QUARTERS[:3], "several-faces"),
        ((*QUARTERS, (0.6, 0.7)), "several-faces"),
    ],
)
def test_a_sheet_has_one_face_in_each_quarter(places, code):
    (finding,) = found(photo(faces=[side(1, *place) for place in places]))
    assert (finding.code, finding.advice) == (code, "drop")


def test_small_faces_behind_do_not_make_a_sheet():
    assert codes(photo(faces=[side(1 if place == (0.1, 0.1) else 0.2, *place) for place in QUARTERS])) == []


def test_a_photo_without_a_face_is_proposed_to_go():
    (finding,) = found(photo(faces=[]), usual=None)
    assert (finding.code, finding.advice, finding.value) == ("no-face", "drop", None)
    assert sentence(finding).startswith("a.jpg: no face")


def test_of_a_photo_that_cannot_be_read_only_that_is_said():
    said = "a.jpg is damaged (bad header); replace or remove it."
    comparison = PhotoComparison(copy_of="b.jpg", unlike=True, likeness=0.0, usual=0.5)
    (finding,) = found(AuditedPhoto("a.jpg", "0" * 64, PhotoFacts(0, 0, said), comparison), usual=None)
    assert (finding.code, sentence(finding), finding.advice) == ("photo-unreadable", said, "drop")


@pytest.mark.parametrize(
    ("comparison", "code", "words"),
    [
        (PhotoComparison(copy_of="b.jpg"), "same-picture", "a.jpg is the same picture as b.jpg"),
        (PhotoComparison(burst_of="b.jpg"), "same-moment", "a.jpg shows the same moment as b.jpg"),
        (PhotoComparison(copy_of="b.jpg", burst_of="c.jpg"), "same-picture", "b.jpg"),
        (PhotoComparison(0.123, 0.567, True), "another-person", "(likeness 0.12, usual is 0.57)"),
    ],
)
def test_how_a_photo_compares_with_the_others_is_reported(comparison, code, words):
    (finding,) = found(photo(comparison=comparison))
    assert (finding.code, finding.advice) == (code, "drop")
    assert words in sentence(finding)


@pytest.mark.parametrize(
    "comparison", [PhotoComparison(0.1, 0.6), PhotoComparison(None, 0.6, True), PhotoComparison(0.1, None, True)]
)
def test_nobody_is_a_stranger_without_being_said_and_measured(comparison):
    assert found(photo(comparison=comparison)) == []


@pytest.mark.parametrize("hidden", [{"light": 20}, {"blur": 5}, {"px": 20}, {"shown": 0.4}, {"score": 0.2}])
def test_a_face_that_can_hardly_be_seen_is_no_stranger(hidden):
    comparison = PhotoComparison(0.1, 0.6, True)
    assert "another-person" not in codes(photo(of_face=hidden, comparison=comparison))
    assert "another-person" in codes(photo(width=300, height=300, comparison=comparison))


@given(FACTS, STANDINGS, st.sampled_from([512, 768, 1024]), st.none() | st.floats(0, 20_000))
def test_whatever_was_measured_makes_whole_sentences(facts, comparison, resolution, usual):
    told = findings.of_photo(AuditedPhoto("a.jpg", "0" * 64, facts, comparison), resolution, usual)
    for finding in told:
        assert sentence(finding).startswith("a.jpg")
        assert beside_photo(finding).startswith("a.jpg") == (finding.code == "photo-unreadable")
        assert sentence(finding).endswith(".")
        assert "{" not in sentence(finding) + beside_photo(finding)
        assert "nan" not in sentence(finding)
        assert finding.photo == "a.jpg"
        assert (finding.value is None) == (finding.limit is None)
    assert len({one.code for one in told}) == len(told)
    assert bool(told) or facts.face is not None


def test_likenesses_stand_beside_their_limits():
    (copy,) = found(photo(comparison=PhotoComparison(copy_of="b.jpg", alike=0.984)))
    assert "which is better (likeness of the faces 0.984, limit 0.97)." in sentence(copy)
    assert (copy.value, copy.limit) == (0.984, 0.97)
    (grey,) = found(photo(comparison=PhotoComparison(copy_of="b.jpg", alike=0.942)))
    assert (grey.value, grey.limit) == (0.942, 0.9)
    (burst,) = found(photo(comparison=PhotoComparison(burst_of="b.jpg", alike=0.961)))
    assert "(likeness of the faces 0.961, limit 0.95); one is enough." in sentence(burst)
    (stranger,) = found(photo(comparison=PhotoComparison(0.12, 0.57, True, reach=0.4)))
    assert "(likeness 0.12, usual is 0.57, and strangers can have 0.40): another person" in sentence(stranger)
    assert (stranger.value, stranger.limit) == (0.12, 0.4)
    (twin,) = found(photo(comparison=PhotoComparison(same_as="b.jpg")))
    assert (twin.code, twin.advice) == ("same-bytes", "look")
