"""How many people a set of faces shows."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.photos.audit import coverage
from lib_lora.photos.audit.finding_words import sentence
from lib_lora.photos.audit.identity_clusters import groups, large_groups


def faces(*counts, alike=0.75, apart=0.3, seed=0):
    """Cosines of so many photos of each of some people, with noise."""
    who = np.repeat(np.arange(len(counts)), counts)
    cosines = np.where(who[:, None] == who, alike, apart)
    noise = np.random.default_rng(seed).normal(0, 0.08, cosines.shape)
    cosines = np.clip(cosines + (noise + noise.T) / 2, -1, 1)
    np.fill_diagonal(cosines, 1)
    return cosines


@pytest.mark.parametrize("counts", [(24,), (12, 12), (10, 8, 6), (5, 5, 5, 5, 4), (20, 3)])
def test_each_person_is_a_group(counts):
    found = large_groups(groups(faces(*counts)))
    assert [len(group) for group in found] == list(counts)
    assert sorted(chain(*found)) == list(range(sum(counts)))


def test_fewer_than_three_photos_are_no_person_of_the_set():
    assert [len(group) for group in large_groups(groups(faces(20, 2)))] == [20]


def test_photos_without_a_face_are_in_no_group():
    cosines = faces(6, 6)
    cosines[3, :] = cosines[:, 3] = np.nan
    found = groups(cosines)
    assert [len(group) for group in found] == [6, 5]
    assert 3 not in chain(*found)
    assert groups(np.full((4, 4), np.nan)) == []
    assert groups(np.zeros((0, 0))) == []


# By seed, as SameFace's own clustering gave them until scipy's took its place.
GOLDEN = {
    11: [[2, 3, 4, 5], [0], [1]],
    14: [[0, 3], [1], [2], [4], [5]],
    21: [[0, 7, 8], [1, 2, 4], [3, 5, 10], [9, 11], [6]],
    24: [[3, 4, 7, 14], [2, 5, 13], [9, 11, 12], [0, 6], [8], [10]],
    36: [[0, 3, 5, 7, 9, 11, 13], [6, 8, 10, 12], [2, 4, 14]],
    37: [[1, 3, 6], [0, 2], [4], [5]],
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_sets_keep_their_groups(seed):
    random = np.random.default_rng(seed)
    count, sides = int(random.integers(1, 40)), int(random.integers(2, 6))
    vectors = random.normal(size=(count, sides))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    if seed % 4 == 0:
        cosines[1, :] = cosines[:, 1] = np.nan
    assert groups(cosines) == GOLDEN[seed]


def test_exactly_alike_enough_is_one_person():
    assert groups(np.array([[1.0, 0.5], [0.5, 1.0]])) == [[0, 1]]
    assert groups(np.array([[1.0, 0.49], [0.49, 1.0]])) == [[0], [1]]


@given(st.integers(1, 12), st.integers(0, 5))
def test_every_face_is_in_one_group(count, seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = groups(vectors @ vectors.T)
    assert sorted(chain(*found)) == list(range(count))
    assert found == sorted(found, key=lambda group: (-len(group), group))


def test_several_people_are_one_sentence_about_the_set():
    assert coverage.of_people([["a.jpg", "b.jpg", "c.jpg"]]) == []
    (finding,) = coverage.of_people([["a.jpg"] * 12, ["x.jpg"] * 11])
    assert sentence(finding) == (
        "The photos seem to show 2 people (12 like a.jpg, 11 like x.jpg); leave out all but one of them."
    )
    assert (finding.code, finding.advice, finding.value, finding.limit) == ("several-people", "drop", 2, 1)


def test_rounding_errors_of_equal_faces_are_no_distance():
    cosines = np.full((4, 4), 1 + 1.2e-7)  # as float32 gives it for two files of one picture
    assert groups(cosines) == [[0, 1, 2, 3]]
