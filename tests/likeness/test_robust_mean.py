"""The mean that a stranger does not spoil, on made-up embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.faces import robust_mean


def person(seed: int, count: int, spread: float = 0.5, size: int = 128) -> np.ndarray:
    """`count` unit vectors about one direction; pairs have a cosine of about 1 / (1 + spread^2)."""
    random = np.random.default_rng(seed)
    centre = robust_mean.unit(random.normal(size=size))
    noise = random.normal(size=(count, size)) / np.sqrt(size) * spread
    return robust_mean.unit(centre + noise).astype(np.float32)


def test_leave_one_out_by_hand() -> None:
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    scores = robust_mean.leave_one_out(embeddings, np.array([1.0, 2.0, 1.0]), np.array([True, True, True]))
    # others of the first: 2 (0.6, 0.8) + (0, 1) = (1.2, 2.6)
    assert scores == pytest.approx([1.2 / np.hypot(1.2, 2.6), (0.6 + 0.8) / np.sqrt(2), 1.6 / np.hypot(2.2, 1.6)])


def test_one_that_is_not_kept_is_compared_with_all_kept() -> None:
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    scores = robust_mean.leave_one_out(embeddings, np.ones(3), np.array([True, False, False]))
    assert np.isnan(scores[0])
    assert scores[1:] == pytest.approx([0.6, 0])


def test_a_single_photo_is_its_own_mean() -> None:
    embeddings = person(1, 1)
    result = robust_mean.robust_mean(embeddings, np.ones(1))
    np.testing.assert_allclose(result.vector, embeddings[0], atol=1e-6)
    assert result.kept.tolist() == [True]
    assert np.isnan(result.scores).all()


def test_three_photos_cannot_tell_the_stranger() -> None:
    embeddings = np.concatenate([person(1, 2), person(2, 1)])
    assert robust_mean.robust_mean(embeddings, np.ones(3)).kept.all()


@pytest.mark.parametrize(("own", "strangers"), [(4, 1), (8, 1), (8, 2), (20, 4), (20, 5)])
def test_strangers_are_left_out(own: int, strangers: int) -> None:
    embeddings = np.concatenate([person(1, own), person(2, strangers)])
    result = robust_mean.robust_mean(embeddings, np.ones(len(embeddings)))
    assert result.outlier.tolist() == [False] * own + [True] * strangers
    assert (result.kept == ~result.outlier).all()
    assert float(result.vector @ robust_mean.robust_mean(embeddings[:own], np.ones(own)).vector) > 0.9999
    assert result.scores[:own].min() > 0.75 > 0.3 > result.scores[own:].max()


def test_no_more_than_a_fifth_is_left_out() -> None:
    embeddings = np.concatenate([person(1, 7), person(2, 1), person(3, 1), person(4, 1)])
    result = robust_mean.robust_mean(embeddings, np.ones(10))
    assert result.outlier.tolist() == [False] * 7 + [True] * 3
    assert result.kept.sum() == 8
    assert (~result.kept)[7:].sum() == 2


@pytest.mark.parametrize(("own", "strangers"), [(6, 4), (8, 6), (12, 8)])
def test_many_photos_of_one_other_person_are_seen(own: int, strangers: int) -> None:
    """Begun at the mean of all instead of at the medoid, these would pass for one person."""
    first = person(1, own)
    other = robust_mean.unit(person(1001, strangers) + 0.5 * first.mean(0)).astype(np.float32)  # looks alike a little
    result = robust_mean.robust_mean(np.concatenate([first, other]), np.ones(own + strangers))
    assert result.outlier.tolist() == [False] * own + [True] * strangers


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(4, 30), spread=st.floats(0.05, 1.0))
def test_one_persons_photos_mostly_stay(seed: int, count: int, spread: float) -> None:
    result = robust_mean.robust_mean(person(seed, count, spread), np.ones(count))
    assert result.kept.sum() >= count - np.ceil(count / 5)
    assert float(np.linalg.norm(result.vector)) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(result.scores).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(9)))
def test_the_order_of_photos_does_not_matter(seed: int, order: list[int]) -> None:
    embeddings = np.concatenate([person(seed, 8), person(seed + 1, 1)])
    weights = np.linspace(0.5, 1, 9)
    one, other = (
        robust_mean.robust_mean(embeddings, weights),
        robust_mean.robust_mean(embeddings[order], weights[order]),
    )
    np.testing.assert_allclose(one.vector, other.vector, atol=1e-5)
    np.testing.assert_allclose(one.scores[order], other.scores, atol=1e-5)


def test_a_weight_pulls_the_mean() -> None:
    embeddings = person(5, 3)
    even = robust_mean.robust_mean(embeddings, np.ones(3)).vector
    pulled = robust_mean.robust_mean(embeddings, np.array([5.0, 1, 1])).vector
    assert float(pulled @ embeddings[0]) > float(even @ embeddings[0]) + 0.02


def test_copies_are_found_and_the_best_stays() -> None:
    embeddings = person(7, 3)
    copy = robust_mean.unit(embeddings[1] + 0.01 * person(8, 1)[0]).astype(np.float32)
    together = np.concatenate([embeddings, copy[None]])
    assert robust_mean.near_copies(together, np.array([1.0, 0.5, 1.0, 0.9])) == [None, 3, None, None]
    assert robust_mean.near_copies(together, np.ones(4)) == [None, None, None, 1]


def test_spread_is_robust_and_has_a_floor() -> None:
    assert robust_mean.spread(np.array([0.9, 0.9, 0.9])) == 0.03
    values = np.random.default_rng(0).normal(0.8, 0.1, 4001)
    assert robust_mean.spread(values) == pytest.approx(0.1, rel=0.05)
    values[:400] = -5
    assert robust_mean.spread(values) == pytest.approx(0.1, rel=0.25)


def test_a_hard_photo_of_the_person_stays_where_strangers_are_known() -> None:
    """A photo far below the others, yet clearly above what strangers reach, is no stranger."""
    own = person(1, 12, spread=0.3)
    centre = robust_mean.unit(own.mean(0))
    hard = robust_mean.unit(0.6 * centre + 0.8 * robust_mean.unit(person(3, 1, spread=5)[0])).astype(np.float32)
    everyone, weights = np.concatenate([own, hard[None]]), np.ones(13)
    strangers = np.concatenate([person(seed, 1) for seed in range(100, 300)])
    assert robust_mean.robust_mean(everyone, weights).outlier.tolist() == [False] * 12 + [True]
    found = robust_mean.robust_mean(everyone, weights, strangers=strangers)
    assert found.kept.all()
    assert not found.outlier.any()
    assert found.scores[-1] == pytest.approx(float(robust_mean.unit(own.sum(0)) @ hard), abs=1e-5)


@pytest.mark.parametrize(("above", "stays"), [(0.04, False), (0.06, True)])
def test_a_hard_photo_stays_from_005_above_the_strangers_99th_percentile_on(above: float, stays: bool) -> None:
    """All lie at known cosines to the mean of the person's other photos, which is the first axis."""

    def at(cosine: float, axis: int, sign: int = 1) -> np.ndarray:
        vector = np.zeros(32)
        vector[[0, axis]] = cosine, sign * np.sqrt(1 - cosine**2)
        return vector

    own = np.array([at(0.9, axis, sign) for axis in range(1, 7) for sign in (1, -1)])
    near, others = [at(0.4, 8 + n) for n in range(6)], [at(0.1, 20 + n % 10) for n in range(194)]
    everyone = np.array([*own, at(0.4 + above, 31)], np.float32)
    found = robust_mean.robust_mean(everyone, np.ones(13), strangers=np.array([*near, *others], np.float32))
    assert found.kept.tolist() == [*[True] * 12, stays]


def test_a_stranger_is_left_out_also_where_strangers_are_known() -> None:
    everyone = np.concatenate([person(1, 12), person(2, 1)])
    strangers = np.concatenate([person(seed, 1) for seed in range(100, 300)])
    found = robust_mean.robust_mean(everyone, np.ones(13), strangers=strangers)
    assert found.outlier.tolist() == [False] * 12 + [True]
