"""Intervals and tests against scipy, published tables and known probabilities."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from faults import misfit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib_lora.likeness.measure import intervals
from lib_lora.likeness.measure.intervals import (
    alarm_from,
    bootstrap,
    holm,
    lower_p,
    paired_p,
    two_heaps,
    unpaired_p,
    wilson,
)

pytestmark = pytest.mark.once("arithmetic of ours and of SciPy's, which A1111 does not hold to a version")

SHARES = st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


# -- shares


@pytest.mark.parametrize(
    ("hits", "low", "high"),
    [(20, 0.84, 1.00), (19, 0.76, 0.99), (18, 0.70, 0.97), (16, 0.58, 0.92), (14, 0.48, 0.85), (0, 0.00, 0.16)],
)
def test_shares_of_twenty_are_wilsons(hits, low, high):
    found = wilson(hits, 20)
    assert found.value == hits / 20
    assert (found.low, found.high) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # as SameFace's own formula gave them until scipy's took its place
        (0, 1, 0.0, 0.7934506856227626),
        (1, 1, 0.20654931437723745, 1.0),
        (0, 20, 0.0, 0.16112515805281938),
        (1, 20, 0.008881448800795402, 0.23613119344674205),
        (7, 20, 0.18119182410108206, 0.5671457233147638),
        (19, 20, 0.763868806553258, 0.9911185511992047),
        (20, 20, 0.8388748419471806, 1.0),
        (3, 7, 0.15821985525146975, 0.7495416354723428),
        (250, 500, 0.4563412653024843, 0.5436587346975157),
        (499, 500, 0.9887592932948532, 0.9996468636054407),
    ],
)
def test_reports_keep_their_intervals(hits, count, low, high):
    found = wilson(hits, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@given(SHARES)
def test_any_share_agrees_with_wilsons_formula(share):
    hits, count = share
    found = wilson(hits, count)
    z, part = stats.norm.ppf(0.975), hits / count
    middle = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(part * (1 - part) / count + z * z / (4 * count * count))
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@given(SHARES)
def test_the_complement_is_the_mirror_image(share):
    hits, count = share
    one, other = wilson(hits, count), wilson(count - hits, count)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-12)


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (1, 0), (-1, 20), (21, 20)])
def test_what_is_no_share_is_refused(hits, count):
    with misfit("hits", hits, count):
        wilson(hits, count)


# -- the alarm


def test_the_alarm_by_hand():
    assert alarm_from(20) == pytest.approx(0.2 + 2.15 * 0.06 * math.sqrt(20) + 0.67)
    assert alarm_from(5) == pytest.approx(1.008, abs=0.0005)
    assert alarm_from(20, 0.005, 0.01) == alarm_from(20)
    assert alarm_from(16, 0.1, 0.2) == pytest.approx(1.6 + 2.15 * 0.2 * 4 + 0.67)


def test_one_picture_never_raises_the_alarm_and_more_pictures_need_more():
    """A picture counts 1 at most; two of twenty that surely show strangers are more than `choose` forgives."""
    limits = [alarm_from(pictures) for pictures in range(5, 200)]
    assert limits[0] > 1
    assert 1 < alarm_from(20) < 2
    assert limits == sorted(limits)
    assert alarm_from(200) < 0.06 * 200  # of many pictures a smaller share is enough


@pytest.mark.parametrize("pictures", [6, 20, 100])
def test_the_persons_own_pictures_seldom_reach_the_alarm(pictures):
    """Pictures that mostly count 0, and one in sixty something up to 0.7: more than those of `error_rates` do."""
    random = np.random.default_rng(3)
    grids = np.where(random.random((4000, pictures)) < 1 / 60, random.uniform(0, 0.7, (4000, pictures)), 0.0).sum(1)
    assert (grids >= alarm_from(pictures)).mean() < 0.015


# -- the bootstrap


def _mean_of(values, groups=None, seed=7):
    return bootstrap(lambda rows: values[rows].mean(1), len(values), groups, seed)


def test_it_comes_out_the_same_each_time_and_another_seed_hardly_differs():
    values = np.random.default_rng(1).normal(0.8, 0.05, 20)
    assert _mean_of(values) == _mean_of(values)
    assert _mean_of(values, seed=8) != _mean_of(values)
    assert _mean_of(values, seed=8) == pytest.approx(_mean_of(values), abs=0.004)


def test_it_agrees_with_scipy():
    values = np.random.default_rng(2).normal(0.8, 0.05, 20)
    known = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile")  # its chance is not ours
    wider = 2.093 / 1.960 * math.sqrt(20 / 19)  # Student's t of 19 degrees of freedom, and the biased deviation
    mean = values.mean()
    low, high = (mean + wider * (end - mean) for end in known.confidence_interval)
    assert _mean_of(values) == pytest.approx((low, high), abs=0.004)


@pytest.mark.parametrize("count", [5, 8, 20])
def test_it_holds_the_truth_as_often_as_it_says(count):
    """Plain percentiles held it in 84, 89 and 92 %."""
    random = np.random.default_rng(3)
    ends = [_mean_of(random.normal(0, 1, count)) for _ in range(1000)]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in ends]) <= 0.97


def test_equal_pictures_have_no_width():
    assert _mean_of(np.full(6, 0.7)) == pytest.approx((0.7, 0.7), abs=1e-12)
    assert _mean_of(np.full(1, 0.7)) == pytest.approx((0.7, 0.7), abs=1e-12)


def test_pictures_of_their_own_prompts_are_no_groups():
    values = np.random.default_rng(4).normal(0.8, 0.05, 12)
    assert _mean_of(values, [f"prompt {n}" for n in range(12)]) == _mean_of(values)


def _covered(grouped):
    """How often the interval holds the truth (0) where two pictures of each of ten prompts are nearly alike."""
    random = np.random.default_rng(5)
    names = [str(n // 2) for n in range(20)]
    hits = 0
    for _ in range(200):
        values = np.repeat(random.normal(0, 1, 10), 2) + random.normal(0, 0.1, 20)
        low, high = _mean_of(values, names if grouped else None)
        hits += low <= 0 <= high
    return hits / 200


def test_resampling_prompts_covers_where_resampling_pictures_does_not():
    by_prompt, by_picture = _covered(True), _covered(False)
    assert by_prompt >= 0.9
    assert by_picture < by_prompt - 0.08


@pytest.mark.parametrize(
    ("sizes", "heights"), [((15, 1, 1, 1, 1, 1), (0.9, *[0.3] * 5)), ((3, 2, 2, 1, 1), (0.9, 0.5, 0.6, 0.4, 0.7))]
)
def test_groups_of_unequal_size_count_by_their_pictures(sizes, heights):
    """The interval is that of the mean over pictures, which is what it stands beside; not of the groups' means."""
    values = np.repeat(heights, sizes)
    names = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    seen = []

    def mean(rows):
        seen.append(len(rows))
        return values[rows].mean(1)

    low, high = bootstrap(mean, len(values), names)
    assert sum(seen) == intervals.ROUNDS + 1  # and the value itself
    assert low < values.mean() < high
    # every draw written out by hand
    random = np.random.default_rng(7)
    means = []
    for row in random.integers(0, len(sizes), (intervals.ROUNDS, len(sizes))):
        drawn = [height for group in row for height in [heights[group]] * sizes[group]]
        means.append(sum(drawn) / len(drawn))
    groups, mean = len(sizes), values.mean()
    wider = stats.t.ppf(0.975, groups - 1) / stats.norm.ppf(0.975) * math.sqrt(groups / (groups - 1))
    known = tuple(mean + wider * (end - mean) for end in np.quantile(means, [0.025, 0.975]))
    assert (low, high) == pytest.approx(known, abs=1e-9)


def test_one_prompt_alone_tells_nothing_of_others():
    """All pictures of one prompt: the resampling has nothing to draw from, so the interval has no width."""
    low, high = _mean_of(np.array([0.1, 0.9]), ["same", "same"])
    assert low == high == pytest.approx(0.5)


# -- pairs and heaps


@pytest.mark.parametrize("shift", [0.0, 0.03, -0.2])
def test_pairs_agree_with_wilcoxons_test(shift):
    gains = np.random.default_rng(6).normal(shift, 0.05, 20)
    assert paired_p(gains) == pytest.approx(float(stats.wilcoxon(gains, np.zeros(20)).pvalue))
    assert paired_p(-gains) == pytest.approx(paired_p(gains))


def test_pairs_by_counting():
    """All n differences of one sign: two of the 2^n sign patterns are as extreme."""
    for count in (5, 6, 10):
        assert paired_p(np.arange(1, count + 1) / 100) == pytest.approx(2 / 2**count)
    assert paired_p(np.array([1.0, 2.0, 3.0, -4.0])) == pytest.approx(14 / 16)


def test_equal_pairs_differ_by_chance_only():
    assert paired_p(np.zeros(10)) == 1.0
    assert paired_p(np.array([0.1] + [0.0] * 9)) == pytest.approx(1.0)


def test_pairs_see_what_heaps_do_not():
    random = np.random.default_rng(8)
    prompts = random.normal(0.7, 0.1, 20)
    one, other = prompts, prompts + random.normal(0.03, 0.02, 20)
    assert paired_p(other - one) < 0.001
    assert unpaired_p(one, other) > 0.1


def test_heaps_by_counting():
    """Three below three: one of the 20 ways to divide six ranks."""
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    assert lower_p(low, high) == pytest.approx(1 / 20)
    assert lower_p(high, low) == pytest.approx(1.0)
    assert unpaired_p(low, high) == unpaired_p(high, low) == pytest.approx(2 / 20)


def test_the_test_against_photos_seldom_cries_wolf():
    random = np.random.default_rng(9)
    alarms = [lower_p(random.normal(0, 1, 20), random.normal(0, 1, 24)) < 0.05 for _ in range(300)]
    assert 0.02 < np.mean(alarms) < 0.09
    drifted = [lower_p(random.normal(-1.5, 1, 20), random.normal(0, 1, 24)) < 0.05 for _ in range(50)]
    assert np.mean(drifted) > 0.95


def test_two_heaps_hold_the_difference_of_their_means():
    random = np.random.default_rng(10)
    one, other = random.normal(0.5, 0.05, 30), random.normal(0.6, 0.05, 25)
    low, high = two_heaps(one, other)
    assert low < 0.1 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.05 * math.sqrt(1 / 30 + 1 / 25), rel=0.35)
    assert two_heaps(one, other) == (low, high)
    assert two_heaps(other, one) == pytest.approx((-high, -low), abs=0.006)
    assert two_heaps(np.full(5, 0.2), np.full(9, 0.5)) == pytest.approx((0.3, 0.3))


# -- many tests at once


def test_holm_by_hand():
    """R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    assert holm([0.6, 0.5]) == [1.0, 1.0]


def test_holm_does_not_depend_on_the_order():
    values = [0.01, 0.04, 0.03, 0.005]
    known = dict(zip(values, holm(values)))
    for order in permutations(values):
        assert holm(order) == [known[value] for value in order]


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_p_and_bonferronis(values):
    corrected = holm(values)
    for raw, adjusted in zip(values, corrected):
        assert raw <= adjusted <= min(1.0, len(values) * raw) + 1e-15
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
