"""How varied a set is: the small map, and what is said of too few, too many and too much alike."""

import numpy as np
import pytest
from audit_toys import face, histograms, photo, sets, varied
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.faces.picture_descriptors import hellinger, largest_group
from lib_lora.photos.audit import coverage
from lib_lora.photos.audit.finding_words import sentence

pytestmark = pytest.mark.once("what is counted and said is ours; what is measured is repeated in faces")


def codes(photos):
    return [finding.code for finding in coverage.of_set(photos)]


def only(photos, code):
    (finding,) = [one for one in coverage.of_set(photos) if one.code == code]
    assert finding.photo == ""
    assert sentence(finding).endswith(".")
    return finding


def test_a_varied_set_is_left_in_peace():
    assert coverage.of_set(varied(20)) == []
    assert coverage.coverage(varied(20)).missing == []


@pytest.mark.parametrize(
    ("count", "code", "advice", "limit"),
    [
        (0, "too-few-photos", "drop", 8),
        (1, "too-few-photos", "drop", 8),
        (7, "too-few-photos", "drop", 8),
        (8, "few-photos", "look", 15),
        (14, "few-photos", "look", 15),
        (15, None, None, None),
        (50, None, None, None),
        (51, "many-photos", "look", 50),
    ],
)
def test_the_number_of_photos_is_reported_just_beyond_each_limit(count, code, advice, limit):
    photos = varied(count)
    if code is None:
        assert not {"too-few-photos", "few-photos", "many-photos"} & set(codes(photos))
        return
    finding = only(photos, code)
    assert (finding.advice, finding.value, finding.limit) == (advice, count, limit)
    assert sentence(finding).startswith(f"{count} photo{'' if count == 1 else 's'} ")
    assert f" {limit} " in sentence(finding).translate({ord(","): " ", ord(")"): " "})
    assert "20 to 50" in sentence(finding)


def test_of_too_few_photos_nothing_else_is_said():
    assert codes([photo(f"{number}.jpg") for number in range(7)]) == ["too-few-photos"]
    assert {"missing-views", "one-background", "one-light"} <= set(
        codes([photo(f"{number}.jpg") for number in range(8)])
    )


@pytest.mark.parametrize(
    ("yaw", "box", "row", "column"),
    [
        (-0.9, (0, 0, 0.3, 0.5), "close-up", "profile from the left"),
        (-0.5, (0, 0, 0.3, 0.2), "upper body", "from the left"),
        (0.0, (0, 0, 0.3, 0.1), "full body", "ahead"),
        (0.5, (0, 0, 0.3, 0.2), "upper body", "from the right"),
        (0.9, (0, 0, 0.3, 0.5), "close-up", "profile from the right"),
    ],
)
def test_each_photo_stands_in_one_place_of_the_map(yaw, box, row, column):
    shown = coverage.coverage([photo(of_face={"yaw": yaw, "box": box}), photo(faces=[])])
    assert shown.table[row][column] == 1
    assert sum(sum(counts.values()) for counts in shown.table.values()) == 1
    assert shown.angles[column] == 1
    assert len(shown.missing) == 4 + 2
    assert f"no {row}" not in shown.missing
    assert f"no {coverage.MISSING[column]}" not in shown.missing


@given(sets())
def test_the_map_counts_each_face_once_and_names_what_is_missing(photos):
    shown = coverage.coverage(photos)
    faces = sum(item.facts.face is not None for item in photos)
    assert sum(sum(row.values()) for row in shown.table.values()) == faces
    assert sum(shown.angles.values()) == faces
    empty = [count == 0 for count in shown.angles.values()] + [not any(row.values()) for row in shown.table.values()]
    assert len(shown.missing) == sum(empty)
    assert all(one.startswith("no ") for one in shown.missing)


@given(sets(most=20))
def test_whatever_was_measured_makes_whole_sentences(photos):
    told = coverage.of_set(photos)
    assert all(one.photo == "" and sentence(one).endswith(".") and "{" not in sentence(one) for one in told)
    assert len({one.code for one in told}) == len(told)
    assert ("too-few-photos" in {one.code for one in told}) == (len(photos) < LEAST_TO_TRAIN)


def test_missing_views_are_named():
    photos = [photo(f"{number}.jpg", of_face={"yaw": 0.0, "box": (0, 0, 0.5, 0.5)}) for number in range(16)]
    finding = only(photos, "missing-views")
    assert finding.details["photos"] == 16
    missing = finding.details["missing"]
    assert missing[:2] == ["no profile from the left", "no three-quarter view from the left"]
    assert ("no full body" in missing, "no close-up" in missing) == (True, False)
    assert (finding.advice, finding.value, finding.limit) == ("look", 6, 0)


def grouped(same, count=20, bins=24):
    """So many equal histograms, the others unlike all."""
    return [np.eye(bins)[0 if number < same else number].tolist() for number in range(count)]


@pytest.mark.parametrize(("what", "code"), [("backdrop", "one-background"), ("clothes", "one-outfit")])
def test_a_set_may_have_two_fifths_alike_and_no_more(what, code):
    def photos(same):
        return [photo(f"{n}.jpg", **{what: shares}) for n, shares in enumerate(grouped(same))]

    # the one other than `what` is as photo() gives it, so only `code` is looked at
    assert code not in codes(photos(8))
    finding = only(photos(9), code)
    assert (finding.advice, finding.value, finding.limit) == ("look", 0.45, 0.4)
    assert sentence(finding).startswith("45% of the photos")
    assert "limit 40%" in sentence(finding)


def test_clothes_that_are_not_shown_are_not_counted():
    shown = varied(20)
    same = [photo(f"{number}.jpg", clothes=[1.0] if number < 7 else []) for number in range(20)]
    assert "one-outfit" not in codes(same)
    same[10] = photo("10.jpg", clothes=[1.0])
    assert only(same, "one-outfit").value == 1.0
    assert "one-outfit" not in codes(shown)


@pytest.mark.parametrize(
    ("what", "code", "limit"), [("backdrop", "one-background", 0.35), ("clothes", "one-outfit", 0.3)]
)
def test_how_near_two_histograms_count_as_one(what, code, limit):
    def photos(distance):
        share = (1 - distance**2) ** 2
        return [photo(f"{n}.jpg", **{what: [1.0, 0.0] if n % 3 == 0 else [share, 1 - share]}) for n in range(15)]

    assert only(photos(limit - 0.01), code).value == 1
    assert only(photos(limit + 0.01), code).value == pytest.approx(10 / 15)


@pytest.mark.parametrize(
    ("measure", "spread", "limit"), [("light", 12.0, "12"), ("warmth", 3.0, "12"), ("side", 0.06, "12")]
)
def test_light_counts_as_one_where_it_varies_in_nothing(measure, spread, limit):
    def photos(by):
        return varied(20, lambda n: {"light": 120.0, measure: (120.0 if measure == "light" else 0) + (by, -by)[n % 2]})

    finding = only(photos(spread * 0.99), "one-light")
    assert f"limit {limit})" in sentence(finding)
    assert f"spread by {12 if measure == 'light' else 0}," in sentence(finding)
    assert finding.value == pytest.approx(spread * 0.99 if measure == "light" else 0)
    assert "one-light" not in codes(photos(spread * 1.01))


def test_light_is_not_reported_of_few_faces():
    def photos(faces):
        return [photo(f"{n}.jpg", faces=[face()] if n < faces else []) for n in range(20)]

    assert "one-light" not in codes(photos(7))
    assert "one-light" in codes(photos(8))


@given(st.lists(histograms(), min_size=1, max_size=12))
def test_a_group_is_at_least_one_and_at_most_all(shares):
    found = largest_group(shares, 0.3)
    assert 1 <= found <= len(shares)
    assert largest_group([*shares, shares[0]], 0.3) >= found
    near = [sum(hellinger(one, other) < 0.3 for other in shares) for one in shares]
    assert found == max(near)


@given(histograms(), histograms())
def test_distance_is_a_distance(one, other):
    found = hellinger(one, other)
    assert 0 <= found <= 1
    assert found == hellinger(other, one)
    assert hellinger(one, one) < 1e-6


@pytest.mark.parametrize(
    ("one", "other", "expected"), [([1, 0], [0, 1], 1), ([1, 0], [1, 0], 0), ([0.25, 0.75], [1, 0], 0.5**0.5)]
)
def test_distances_that_can_be_reckoned_by_hand(one, other, expected):
    assert hellinger(one, other) == pytest.approx(expected)
