"""Which of several photos of one picture, or one moment, is kept."""

from itertools import combinations

import numpy as np
import pytest
from audit_toys import READABLE, photo, sets
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.photos.audit import near_duplicates
from lib_lora.photos.audit.near_duplicates import Repeated, repeated


def hashed(bits):
    """A hash that differs from 0 in so many bits."""
    return f"{(1 << bits) - 1:016x}"


def pair(bits, cosine, one=None, other=None):
    """Two photos whose hashes differ in so many bits; the second is the better one."""
    photos = [
        photo("a.jpg", **{"hash": hashed(0), "width": 500, "height": 500, **(one or {})}),
        photo("b.jpg", **{"hash": hashed(bits), **(other or {})}),
    ]
    return repeated(photos, np.array([[1, cosine], [cosine, 1]]))


COPY, MOMENT, NOTHING = {0: Repeated(1, True)}, {0: Repeated(1, False)}, {}


@pytest.mark.parametrize(
    ("bits", "cosine", "expected"),
    [
        (0, 0.971, COPY),
        (0, 0.901, COPY),
        (2, 0.931, NOTHING),
        (0, 0.9, NOTHING),
        (24, 0.971, COPY),
        (25, 0.971, NOTHING),
        (20, 0.97, MOMENT),
        (20, 0.951, MOMENT),
        (21, 0.951, NOTHING),
        (20, 0.95, NOTHING),
        (3, 0.951, MOMENT),
        (0, 0.2, NOTHING),
        (0, float("nan"), NOTHING),
    ],
)
def test_faces_and_pictures_must_both_be_alike(bits, cosine, expected):
    assert pair(bits, cosine) == expected


@pytest.mark.parametrize(("bits", "expected"), [(0, COPY), (5, COPY), (6, NOTHING)])
def test_without_faces_the_picture_alone_tells(bits, expected):
    assert pair(bits, float("nan"), {"faces": []}, {"faces": []}) == expected


def test_a_picture_with_a_face_is_no_copy_of_one_without():
    assert pair(0, float("nan"), {"faces": []}) == NOTHING


@pytest.mark.parametrize(("distance", "expected"), [(0.34, MOMENT), (0.36, NOTHING)])
def test_a_moment_has_one_background(distance, expected):
    share = (1 - distance**2) ** 2
    assert pair(3, 0.96, {"backdrop": [1.0, 0.0]}, {"backdrop": [share, 1 - share]}) == expected


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"width": 500, "height": 500}, {"width": 1000, "height": 1000, "of_face": {"blur": 20.0}}),
        ({"of_face": {"blur": 100.0}}, {"of_face": {"blur": 300.0}}),
        ({"width": 1024, "of_face": {"blur": 100.0}}, {"width": 1000, "of_face": {"blur": 300.0}}),
        ({"faces": [], "sharp": 10.0}, {"faces": [], "sharp": 20.0}),
        ({"colour": 0.4, "width": 4000, "of_face": {"blur": 900.0}}, {"colour": 7.0}),
        ({"inks": True, "file_bytes": 900}, {"inks": False, "file_bytes": 300}),
        ({"of_face": {"box": (0.25, 0.15, 0.33, 0.33), "blur": 330.0}}, {"of_face": {"box": (0.3, 0.2, 0.3, 0.3)}}),
        ({"width": 1000, "height": 1000, "file_bytes": 900}, {"width": 1024, "height": 1024, "file_bytes": 300}),
        ({"file_bytes": 300, "of_face": {"blur": 330.0}}, {"file_bytes": 900}),
    ],
    ids=[
        "more pixels",
        "sharper face",
        "hardly fewer pixels but sharper",
        "sharper picture",
        "grey",
        "for printing",
        "enlarged crop",
        "slightly smaller",
        "saved again",
    ],
)
def test_the_better_photo_is_kept_wherever_it_stands(worse, better):
    cosines = np.ones((2, 2))
    assert repeated([photo("a.jpg", **worse), photo("b.jpg", **better)], cosines) == {0: Repeated(1, True)}
    assert repeated([photo("a.jpg", **better), photo("b.jpg", **worse)], cosines) == {1: Repeated(0, True)}


def test_what_is_like_a_photo_that_goes_but_unlike_the_one_that_stays_is_kept():
    """Two steps of 20 bits are 40 bits: the first and the last are no copies."""
    photos = [photo(f"{number}.jpg", hash=hashed(20 * number), of_face={"blur": 300.0 - number}) for number in range(3)]
    assert repeated(photos, np.ones((3, 3))) == {1: Repeated(0, True)}


def test_photos_that_cannot_be_read_are_left_out():
    assert repeated([photo("a.jpg", hash=""), photo("b.jpg", hash="")], np.ones((2, 2))) == {}


@st.composite
def alike(draw):
    """Photos of which many are alike, and the cosines of their faces."""
    near = READABLE | READABLE.map(lambda facts: photo(hash="0" * 15 + "1", faces=facts.faces).facts)
    photos = draw(sets(near, 8))
    count = len(photos)
    some = st.sampled_from([0.2, 0.94, 0.96, 0.98, 1.0])
    cosines = np.ones((count, count))
    for one in range(count):
        for other in range(one):
            faces = photos[one].facts.face and photos[other].facts.face
            cosines[one, other] = cosines[other, one] = draw(some) if faces else np.nan
    # backgrounds of one size, as they are measured with one set of bins
    return [photo_of_one_size(item) for item in photos], cosines


def photo_of_one_size(item):
    return photo(
        item.file,
        faces=item.facts.faces,
        hash=item.facts.hash,
        width=item.facts.width,
        height=item.facts.height,
        sharp=item.facts.sharp,
        backdrop=item.facts.backdrop,
        colour=item.facts.colour,
        inks=item.facts.inks,
        file_bytes=item.facts.file_bytes,
    )


@given(alike())
def test_the_photo_that_is_kept_is_never_itself_left_out(given_photos):
    photos, cosines = given_photos
    found = repeated(photos, cosines)
    for place, again in found.items():
        assert again.of not in found
        assert again.of != place
    left = [place for place in range(len(photos)) if place not in found]
    rest = repeated([photos[place] for place in left], cosines[np.ix_(left, left)])
    assert rest == {}


@given(alike())
def test_of_two_photos_exactly_one_is_nearer_to_the_original(given_photos):
    photos, _ = given_photos
    for one, other in combinations(photos, 2):
        assert near_duplicates._better(one, other) != near_duplicates._better(other, one)


def test_no_photo_goes_for_one_that_something_was_done_to():
    photos = [photo("a.jpg", file_bytes=9), photo("b.jpg", file_bytes=5)]
    assert repeated(photos, np.ones((2, 2))) == {1: Repeated(0, True)}
    assert repeated(photos, np.ones((2, 2)), marred={"a.jpg"}) == {0: Repeated(1, True)}
    assert repeated(photos, np.ones((2, 2)), faulty={"b.jpg"}, marred={"a.jpg"}) == {1: Repeated(0, True)}


def test_of_many_copies_the_original_is_kept():
    worse = [{"colour": 0.1}, {"inks": True}, {"file_bytes": 5}, {"width": 500, "height": 500}]
    copies = [photo(f"{number}.jpg", **{"colour": 7.0, "file_bytes": 9, **one}) for number, one in enumerate(worse)]
    photos = [*copies, photo("00.jpg", colour=7.0, file_bytes=9)]
    assert repeated(photos, np.ones((5, 5))) == {place: Repeated(4, True) for place in range(4)}


@given(alike(), st.randoms())
def test_the_order_of_the_photos_does_not_matter(given_photos, random):
    photos, cosines = given_photos
    order = list(range(len(photos)))
    random.shuffle(order)
    mixed = repeated([photos[place] for place in order], cosines[np.ix_(order, order)])
    assert {photos[order[place]].file: photos[order[again.of]].file for place, again in mixed.items()} == {
        photos[place].file: photos[again.of].file for place, again in repeated(photos, cosines).items()
    }
