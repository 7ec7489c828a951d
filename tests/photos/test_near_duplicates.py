"""Which of several photos of one picture, or one moment, is kept."""

from itertools import combinations

import numpy as np
import pytest
from audit_toys import READABLE, photo
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


WRITTEN = {"a.jpg": {"writing"}}
COPY, MOMENT, NOTHING = {0: Repeated(1, True)}, {0: Repeated(1, False)}, {}


@pytest.mark.parametrize(
    ("bits", "cosine", "expected"),
    [
        (0, 0.971, COPY),
        (0, 0.901, COPY),
        (2, 0.931, NOTHING),
        (2, 0.935, NOTHING),
        (2, 0.936, COPY),
        (3, 0.936, NOTHING),
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
        (
            {"width": 1024, "height": 1024, "of_face": {"box": (0.3, 0.2, 0.4, 0.4), "px": 410}},
            {"width": 768, "height": 1024, "of_face": {"box": (0.3, 0.2, 0.4, 0.3), "px": 307}},
        ),
        (
            {"width": 300, "height": 400, "of_face": {"box": (0.3, 0.2, 0.4, 0.3), "px": 120}},
            {"width": 2000, "height": 2000, "of_face": {"box": (0.2, 0.2, 0.5, 0.5), "px": 1000}},
        ),
        (
            {"width": 600, "height": 600, "of_face": {"box": (0.4, 0.4, 0.1, 0.1), "px": 60}},
            {"width": 800, "height": 800, "of_face": {"box": (0.4, 0.4, 0.14, 0.14), "px": 112}},
        ),
        (
            {"width": 256, "height": 256, "of_face": {"box": (0.3, 0.2, 0.3, 0.28), "px": 77}},
            {"width": 380, "height": 380, "of_face": {"box": (0.3, 0.2, 0.3, 0.3), "px": 114}},
        ),
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
        "crop enlarged to more pixels",
        "reduced, although the other is a crop",
        "face too small, although the other is a crop",
        "reduced, with a face that is found a little smaller",
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
    photos = draw(st.lists(near, max_size=8))
    count = len(photos)
    some = st.sampled_from([0.2, 0.94, 0.96, 0.98, 1.0])
    cosines = np.ones((count, count))
    for one in range(count):
        for other in range(one):
            faces = photos[one].face and photos[other].face
            cosines[one, other] = cosines[other, one] = draw(some) if faces else np.nan
    # backgrounds of one size, as they are measured with one set of bins
    return [photo_of_one_size(f"{number:02}.jpg", facts) for number, facts in enumerate(photos)], cosines


def photo_of_one_size(name, facts):
    return photo(
        name,
        faces=facts.faces,
        hash=facts.hash,
        width=facts.width,
        height=facts.height,
        sharp=facts.sharp,
        backdrop=facts.backdrop,
        colour=facts.colour,
        inks=facts.inks,
        file_bytes=facts.file_bytes,
    )


CODES = st.frozensets(st.sampled_from(["writing", "dark-face"]), max_size=2)
SPEAKS_AGAINST = st.frozensets(st.sampled_from([f"{number:02}.jpg" for number in range(8)]), max_size=3)
DONE_TO = st.dictionaries(st.sampled_from([f"{number:02}.jpg" for number in range(8)]), CODES, max_size=5)


@pytest.mark.once("rules of our own, on numbers")
@given(alike(), SPEAKS_AGAINST, DONE_TO)
def test_the_photo_that_is_kept_is_never_itself_left_out(given_photos, faulty, marred):
    photos, cosines = given_photos
    found = repeated(photos, cosines, faulty, marred)
    for place, again in found.items():
        assert again.of not in found
        assert again.of != place
        assert photos[again.of].file not in faulty or photos[place].file in faulty
    left = [place for place in range(len(photos)) if place not in found]
    rest = repeated([photos[place] for place in left], cosines[np.ix_(left, left)], faulty, marred)
    assert rest == {}


@pytest.mark.once("rules of our own, on numbers")
@given(alike(), CODES, CODES)
def test_of_two_photos_exactly_one_is_nearer_to_the_original(given_photos, first, second):
    photos, _ = given_photos
    for one, other in combinations(photos, 2):
        assert near_duplicates._better(one, other, first, second) != near_duplicates._better(other, one, second, first)


def test_no_photo_goes_for_one_that_something_was_done_to():
    photos = [photo("a.jpg", file_bytes=9), photo("b.jpg", file_bytes=5)]
    assert repeated(photos, np.ones((2, 2))) == {1: Repeated(0, True)}
    assert repeated(photos, np.ones((2, 2)), marred=WRITTEN) == {0: Repeated(1, True)}
    assert repeated(photos, np.ones((2, 2)), faulty={"b.jpg"}, marred=WRITTEN) == {1: Repeated(0, True)}


@pytest.mark.parametrize("code", ["writing", "dark-face"])
@pytest.mark.parametrize(
    ("side", "goes"), [(300, 1), (960, 0)], ids=["a thumbnail loses small letters", "hardly smaller"]
)
def test_a_photo_never_goes_for_a_much_smaller_copy_whatever_is_on_it(code, side, goes):
    photos = [photo("a.jpg"), photo("b.jpg", width=side, height=side, of_face={"px": 0.3 * side})]
    assert repeated(photos, np.ones((2, 2)), marred={"a.jpg": {code}}) == {goes: Repeated(1 - goes, True)}


@pytest.mark.parametrize(("width", "height"), [(700, 700), (1400, 1600), (3000, 3900)])
def test_a_photo_with_a_sign_in_it_does_not_go_for_a_crop_of_the_face(width, height):
    """The last is enlarged, to nearly as many pixels."""
    original = {"width": 3000, "height": 4000, "of_face": {"box": (0.4, 0.3, 0.15, 0.15), "px": 600}}
    closer = {"width": width, "height": height, "of_face": {"box": (0.2, 0.2, 0.3, 0.3), "px": min(900, width)}}
    photos = [photo("a.jpg", **original), photo("b.jpg", **closer)]
    assert repeated(photos, np.ones((2, 2)), marred=WRITTEN) == {1: Repeated(0, True)}


def test_a_photo_goes_for_what_is_left_when_the_writing_at_its_edge_is_cut_off():
    """As its finding advises."""
    photos = [photo("a.jpg", file_bytes=9), photo("b.jpg", height=940, of_face={"box": (0.3, 0.2, 0.3, 0.32)})]
    assert repeated(photos, np.ones((2, 2)), marred=WRITTEN) == {0: Repeated(1, True)}


def test_of_one_moment_the_sharper_photo_is_kept_also_where_it_is_taken_from_nearer():
    nearer = photo("a.jpg", hash=hashed(0), of_face={"box": (0.3, 0.2, 0.36, 0.36), "px": 368, "blur": 400.0})
    photos = [nearer, photo("b.jpg", hash=hashed(8), of_face={"blur": 200.0})]
    assert repeated(photos, np.array([[1, 0.96], [0.96, 1]])) == {1: Repeated(0, False)}
    assert repeated(photos, np.array([[1, 0.98], [0.98, 1]])) == {0: Repeated(1, True)}


def test_worse_copies_of_a_photo_that_goes_for_a_better_one_go_with_it():
    """A grey copy is less like a sharper photo of the same moment than the original is."""
    photos = [
        photo("original.jpg", hash=hashed(0), colour=7.0, of_face={"blur": 200.0}),
        photo("grey.jpg", hash=hashed(0), colour=0.2, of_face={"blur": 200.0}),
        photo("burst.jpg", hash=hashed(8), colour=7.0, of_face={"blur": 400.0}),
    ]
    cosines = np.array([[1, 0.94, 0.96], [0.94, 1, 0.9], [0.96, 0.9, 1]])
    found = repeated(photos, cosines)
    assert found == {0: Repeated(2, False), 1: Repeated(2, False)}
    assert (found[0].likeness, found[1].likeness) == (0.96, None)


def test_a_better_copy_of_a_photo_that_goes_is_kept():
    photos = [
        photo("a.jpg", hash=hashed(0), of_face={"blur": 200.0}),
        photo("b.jpg", hash=hashed(0), width=2000, of_face={"blur": 200.0}),
        photo("c.jpg", hash=hashed(8), of_face={"blur": 400.0}),
    ]
    cosines = np.array([[1, 0.94, 0.96], [0.94, 1, 0.9], [0.96, 0.9, 1]])
    assert repeated(photos, cosines).keys() == {0}


def test_an_original_does_not_go_for_a_copy_that_beats_others_and_not_it():
    photos = [
        photo("original.jpg", hash=hashed(0), file_bytes=9),
        photo("written.jpg", hash=hashed(5)),
        *(photo(f"{number}.jpg", hash=hashed(25), width=99 + number) for number in range(3)),
    ]
    found = repeated(photos, np.ones((5, 5)), marred={"written.jpg": {"writing"}})
    assert found[1] == Repeated(0, True)


def test_of_many_copies_the_original_is_kept():
    worse = [{"colour": 0.1}, {"inks": True}, {"file_bytes": 5}, {"width": 500, "height": 500}]
    copies = [photo(f"{number}.jpg", **{"colour": 7.0, "file_bytes": 9, **one}) for number, one in enumerate(worse)]
    photos = [*copies, photo("00.jpg", colour=7.0, file_bytes=9)]
    assert repeated(photos, np.ones((5, 5))) == {place: Repeated(4, True) for place in range(4)}


@pytest.mark.once("rules of our own, on numbers")
@given(alike(), SPEAKS_AGAINST, DONE_TO, st.randoms())
def test_the_order_of_the_photos_does_not_matter(given_photos, faulty, marred, random):
    photos, cosines = given_photos
    order = list(range(len(photos)))
    random.shuffle(order)
    mixed = repeated([photos[place] for place in order], cosines[np.ix_(order, order)], faulty, marred)
    assert {photos[order[place]].file: photos[order[again.of]].file for place, again in mixed.items()} == {
        photos[place].file: photos[again.of].file for place, again in repeated(photos, cosines, faulty, marred).items()
    }
