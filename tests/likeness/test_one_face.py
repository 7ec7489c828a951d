"""Whether a picture shows the one picked face."""

from __future__ import annotations

import numpy as np
import pytest
from faults import misfit
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.faces.robust_mean import unit
from lib_lora.likeness.measure.one_face import FaceSample, anchor_line, near_copy, one_face, stranger_line

SIZE = 128


def _person(seed: int, scatter: float, count: int, of: int | None = None) -> np.ndarray:
    """Embeddings around one direction, or (scatter 0) that direction."""
    rng = np.random.default_rng(seed)
    centre = unit(np.random.default_rng(of if of is not None else seed).normal(size=SIZE))
    return unit(centre + scatter * unit(rng.normal(size=(count, SIZE)))).astype(np.float32)


STRANGERS = [
    ("base model", unit(np.random.default_rng(9).normal(size=(20, SIZE))).astype(np.float32)),
    ("cohort", None),
]


def test_the_line_is_the_highest_of_all_sources_and_small_sources_draw_none():
    person = _person(1, 0.0, 1)[0]
    near = _person(2, 1.0, 8, of=1)  # strangers that are rather alike
    line = stranger_line(person, [*STRANGERS, ("near", near), ("few", near[:4])])
    assert (line.source, line.faces) == ("near", 8)
    assert line.at >= max(near @ person) - 0.01
    with misfit("strangers", 5):
        stranger_line(person, [("few", near[:4]), ("none", None)])


def test_the_same_person_passes_and_strangers_do_not():
    face = one_face(_person(1, 0.0, 1)[0], _person(3, 0.6, 5, of=1), np.ones(6), STRANGERS)
    assert all(face.is_same(one) for one in _person(4, 0.6, 20, of=1))
    assert not any(face.is_same(one) for one in STRANGERS[0][1])


def test_with_the_picked_picture_alone_both_likenesses_are_one():
    picked = _person(1, 0.0, 1)[0]
    face = one_face(picked, np.zeros((0, SIZE), np.float32), np.ones(1), STRANGERS)
    other = _person(5, 0.7, 1, of=1)[0]
    assert face.likeness(other) == pytest.approx(face.to_picked(other), abs=1e-6)
    assert face.line.at >= face.mean_line.at


def test_a_chain_that_wanders_off_is_stopped_by_the_picked_picture():
    picked, strangers = _person(1, 0.0, 1)[0], STRANGERS[0][1]
    other = strangers[np.argmin(np.abs(strangers @ picked))]
    kept: list[np.ndarray] = []
    for share in np.linspace(0.05, 1, 20):  # each is nearly the one before, the last is another person
        one = unit((1 - share) * picked + share * other).astype(np.float32)
        face = one_face(picked, np.array(kept).reshape(-1, SIZE), np.ones(len(kept) + 1), STRANGERS)
        if not face.is_same(one):
            break
        kept.append(one)
    assert face.likeness(one) > face.mean_line.at  # by the mean alone, which went along, it would have been kept
    assert face.to_picked(one) < face.line.at
    assert all(float(other @ picked) >= face.line.at for other in kept)


def test_half_of_the_way_from_strangers_to_the_picked_picture_must_be_kept():
    picked = _person(1, 0.0, 1)[0]
    line = anchor_line(picked, STRANGERS)
    assert line.at == pytest.approx((1 + float(np.median(STRANGERS[0][1] @ picked))) / 2, abs=1e-5)
    near = [("near", _person(2, 0.5, 20, of=1))]  # strangers nearly all alike: T_id is higher than that
    assert anchor_line(picked, near) == stranger_line(picked, near)


def test_a_picture_of_its_own_noise_need_not_be_as_near_to_the_picked_one():
    face = one_face(_person(1, 0.0, 1)[0], _person(3, 0.6, 9, of=1), np.ones(10), STRANGERS)
    assert face.least == face.line.q99 < face.line.at
    turned = unit(0.45 * face.picked + 0.9 * (face.vector - float(face.vector @ face.picked) * face.picked)
                  / np.linalg.norm(face.vector - float(face.vector @ face.picked) * face.picked))  # fmt: skip
    assert face.least < face.to_picked(turned) < face.line.at
    assert face.is_same(turned, related=False)
    assert not face.is_same(turned)


def test_a_picture_that_looks_where_the_picked_one_looks_must_keep_more():
    face = one_face(_person(1, 0.0, 1)[0], np.zeros((0, SIZE), np.float32), np.ones(1), STRANGERS)
    beside = unit(_person(9, 0.0, 1)[0] - float(_person(9, 0.0, 1)[0] @ face.picked) * face.picked)
    same, back = (face.lines[look].at for look in ("same", "back"))
    between = (face.line.at + same) / 2
    one = (between * face.picked + (1 - between**2) ** 0.5 * beside).astype(np.float32)
    assert face.least < face.line.at < face.to_picked(one) < same < back
    assert [face.is_same(one, look=look) for look in ("other", "same", "back")] == [True, False, False]
    assert face.picked_line(related=False, look="same") == face.least


def _looks(embedding: np.ndarray, digest: int = 0, crop: np.ndarray | None = None) -> FaceSample:
    return FaceSample(embedding, digest, crop)


def test_near_copies_are_recognised_by_the_face_or_by_face_and_picture_together():
    rng = np.random.default_rng(3)
    one, other = _person(1, 0.0, 1)[0], _person(2, 0.7, 1, of=1)[0]
    crop, different = (rng.integers(0, 255, (112, 112), dtype=np.uint8) for _ in range(2))
    assert near_copy(_looks(one), [_looks(other), _looks(one, 2**63)]) == 1
    assert near_copy(_looks(one, 0b111, crop), [_looks(other, 0, crop)]) == 0
    assert near_copy(_looks(one, 0, crop), [_looks(other, 0, different)]) is None
    assert near_copy(_looks(one, 2**32 - 1, crop), [_looks(other, 0, crop)]) is None
    assert near_copy(_looks(one), [_looks(other)]) is None
    assert near_copy(_looks(one), []) is None


@given(st.integers(0, 10_000), st.integers(0, 12))
def test_the_mean_is_a_unit_vector_and_the_picked_line_does_not_depend_on_what_was_kept(seed, count):
    picked = _person(seed, 0.0, 1)[0]
    kept = _person(seed + 1, 0.6, count, of=seed)
    face = one_face(picked, kept, np.ones(count + 1), STRANGERS)
    assert float(np.linalg.norm(face.vector)) == pytest.approx(1, abs=1e-5)
    assert face.line == anchor_line(picked, STRANGERS)
    assert face.line.at >= stranger_line(picked, STRANGERS).at
    assert len(face.outliers) == count
