"""The lines of a character: where they lie, when there are none, and that they hold on faces never seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from faults import misfit
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from simulated import lines_of, people, template_of

from lib_lora.likeness.measure import calibration
from lib_lora.likeness.measure.calibration import (
    BASE,
    COHORT,
    GIVEN,
    LEAST_FACES,
    LEAST_PHOTOS,
    MARGIN,
    Calibration,
    Lines,
    against,
    calibrate,
    keep_line,
    separation,
    sum_up,
)
from lib_lora.likeness.measure.intervals import alarm_from


def spaced(middle: float, deviation: float, count: int) -> np.ndarray:
    """`count` cosines with exactly this mean and (n - 1) standard deviation, symmetric."""
    values = np.linspace(-1, 1, count)
    return middle + deviation * values / values.std(ddof=1)


PHOTOS = spaced(0.85, 0.05, 20)
STRANGERS = spaced(0.30, 0.08, 200)


# -- summing up


def test_a_set_summed_up_by_hand():
    found = sum_up("toys", np.array([0.1, 0.2, 0.4, 0.5, 0.9]), 4.5)
    assert (found.name, found.n, found.median, found.mean, found.separation) == (
        "toys",
        5,
        0.4,
        pytest.approx(0.42),
        4.5,
    )
    assert found.spread == pytest.approx(1.4826 * 0.2)
    assert found.deviation == pytest.approx(np.sqrt(((np.array([0.1, 0.2, 0.4, 0.5, 0.9]) - 0.42) ** 2).sum() / 4))
    assert found.q99 == pytest.approx(0.5 + 0.4 * 0.96)


def test_luck_of_a_small_set_is_no_precision():
    alike = sum_up("alike", np.full(9, 0.8))
    assert (alike.spread, alike.deviation) == (0.03, 0.03)
    assert sum_up("one", np.array([0.8])).deviation == 0.03


def test_separation_by_hand():
    photos, strangers = np.array([0.7, 0.8, 0.9]), np.array([0.1, 0.3, 0.5])
    assert separation(photos, strangers) == pytest.approx(0.5 / math.sqrt(1.4826**2 * (0.1**2 + 0.2**2) / 2))


# -- the tolerance limit


@pytest.mark.parametrize(
    ("count", "covered", "sure", "factor"),
    [
        # Natrella 1963 (NBS Handbook 91), table A-7, as every later handbook repeats it
        (5, 0.95, 0.95, 4.203),
        (8, 0.95, 0.95, 3.187),
        (10, 0.95, 0.95, 2.911),
        (15, 0.95, 0.95, 2.566),
        (20, 0.95, 0.95, 2.396),
        (30, 0.95, 0.95, 2.220),
        (50, 0.95, 0.95, 2.065),
        (43, 0.90, 0.99, 1.8740),  # the worked example of NIST's e-handbook, 7.2.6.3
    ],
)
def test_the_factor_is_that_of_the_published_table(monkeypatch, count, covered, sure, factor):
    monkeypatch.setattr(calibration, "COVERED", covered)
    monkeypatch.setattr(calibration, "SURE", sure)
    monkeypatch.setattr(calibration, "SKEWED", 1.0)
    scores = sum_up("photos", spaced(0.8, 0.1, count))
    assert keep_line(scores) == pytest.approx(0.8 - factor * 0.1, abs=1e-4)


def test_the_keep_line_leaves_the_promised_share_above_it(monkeypatch):
    """With normal scores and no allowance for a tail: in 98 of 100 sets, at least 95 % of the person's pictures."""
    from scipy.stats import norm

    monkeypatch.setattr(calibration, "SKEWED", 1.0)
    random = np.random.default_rng(1)
    good = [
        norm.sf(keep_line(sum_up("photos", random.normal(0.8, 0.06, 20))), 0.8, 0.06) >= 0.95 for _ in range(400)
    ]  # fmt: skip
    assert 0.96 <= np.mean(good) <= 0.995


def test_fewer_photos_and_more_scatter_put_the_keep_line_lower():
    lines = [keep_line(sum_up("photos", spaced(0.8, 0.06, count))) for count in (8, 12, 20, 50, 200)]
    assert lines == sorted(lines)
    wider = [keep_line(sum_up("photos", spaced(0.8, deviation, 20))) for deviation in (0.1, 0.06, 0.03)]
    assert wider == sorted(wider)
    assert keep_line(sum_up("photos", spaced(0.8, 0.01, 20))) == pytest.approx(wider[-1])  # less scatter is luck


# -- the lines


def test_lines_by_hand():
    found = calibrate(PHOTOS, [(COHORT, STRANGERS)])
    assert found.refusal is None
    assert found.lines.keep == pytest.approx(keep_line(found.photos))
    assert found.lines.zero == pytest.approx(0.30)
    assert found.lines.zero_of == COHORT
    strangers = found.impostors[0]
    assert found.lines.same == pytest.approx(strangers.q99)  # of so many it is known
    few = calibrate(PHOTOS, [(COHORT, STRANGERS[:99])])
    of_few = few.impostors[0]
    assert few.lines.same == pytest.approx(max(of_few.q99, of_few.median + 3 * of_few.spread))
    assert strangers.separation == pytest.approx(separation(PHOTOS, STRANGERS))
    assert found.retention(0.30) == pytest.approx(0)
    assert found.retention(0.85) == pytest.approx(1)
    assert found.retention(0.575) == pytest.approx(0.5)
    assert found.ceiling is None
    assert found.retention_of_ceiling(0.5) is None


def test_what_pictures_add_up_to_by_hand():
    lines = Lines(0.3, COHORT, keep=0.65, same=0.62, reach=0.5)
    for likeness, counts in ((0.9, 0), (0.65, 0), (0.64, 0.2), (0.55, 0.5), (0.4, 1), (0.1, 1)):
        assert lines.as_strangers(np.array([likeness])) == pytest.approx(counts)
    assert lines.as_strangers(np.array([0.9, 0.55, 0.2])).tolist() == pytest.approx([0, 0.5, 1])
    old = Lines(0.3, COHORT, keep=0.65, same=0.5)  # of a report that did not keep the strangers' reach
    assert old.as_strangers(np.array([0.55])) == pytest.approx(0.5)


def test_the_keep_line_lies_above_strangers():
    """Photos that scatter would accept strangers; the line is lifted over their 99th percentile."""
    loose = spaced(0.85, 0.12, 8)
    assert keep_line(sum_up("photos", loose)) < STRANGERS.max()
    found = calibrate(loose, [(COHORT, STRANGERS)])
    assert found.refusal is None
    assert found.lines.keep == pytest.approx(found.impostors[0].q99 + MARGIN)
    assert found.lines.same <= found.lines.keep


def test_the_highest_strangers_draw_the_lines():
    near = spaced(0.45, 0.05, 40)
    found = calibrate(PHOTOS, [(GIVEN, near), (COHORT, STRANGERS)])
    q99 = max(float(np.quantile(near, 0.99)), float(np.quantile(STRANGERS, 0.99)))
    assert found.lines.keep >= q99 + MARGIN
    assert found.lines.same >= q99
    assert [item.name for item in found.impostors] == [GIVEN, COHORT]


@pytest.mark.parametrize(("count", "zero_of"), [(0, COHORT), (LEAST_FACES - 1, COHORT), (LEAST_FACES, BASE)])
def test_zero_is_the_base_models_where_it_paints_enough_faces(count, zero_of):
    base = np.full(count, 0.4)
    found = calibrate(PHOTOS, [(BASE, base), (COHORT, STRANGERS)])
    assert found.lines.zero_of == zero_of
    assert found.lines.zero == pytest.approx(0.4 if zero_of == BASE else 0.3)
    assert [item.name for item in found.impostors] == ([BASE] if zero_of == BASE else []) + [COHORT]


def test_zero_is_the_base_models_wherever_it_stands_in_the_list():
    assert calibrate(PHOTOS, [(COHORT, STRANGERS), (BASE, np.full(6, 0.4))]).lines.zero_of == BASE


def test_what_the_vae_lets_through_lowers_the_keep_line():
    ceiling = spaced(0.80, 0.05, 20)
    found, without = (calibrate(PHOTOS, [(COHORT, STRANGERS)], top) for top in (ceiling, None))
    assert found.lines.keep == pytest.approx(without.lines.keep - 0.05)
    assert found.shrunk == pytest.approx(0.80 / 0.85)
    assert found.lines.zero == pytest.approx(found.shrunk * without.lines.zero)  # the cohort did not pass the VAE
    assert found.lines.same < without.lines.same
    assert found.retention_of_ceiling(0.80) == pytest.approx(1)
    assert found.retention(0.85) == pytest.approx(1)
    assert found.photos == without.photos


def test_a_ceiling_of_too_few_faces_is_none():
    found = calibrate(PHOTOS, [(COHORT, STRANGERS)], np.full(LEAST_FACES - 1, 0.6))
    assert found.ceiling is None
    assert found == calibrate(PHOTOS, [(COHORT, STRANGERS)])


def test_what_the_base_model_painted_has_passed_the_vae_already():
    base = np.full(6, 0.3)
    found = calibrate(PHOTOS, [(BASE, base), (COHORT, STRANGERS)], spaced(0.60, 0.05, 20))
    assert found.lines.zero == pytest.approx(0.3)
    assert found.impostors[1].median == pytest.approx(np.median(STRANGERS) * 0.60 / 0.85)


def test_a_ceiling_below_strangers_gives_no_share_of_it():
    found = calibrate(PHOTOS, [(BASE, np.full(6, 0.3)), (COHORT, STRANGERS)], np.full(8, 0.25))
    assert found.ceiling is not None
    assert found.retention_of_ceiling(0.5) is None
    assert found.lines.keep == pytest.approx(found.impostors[0].q99 + MARGIN)


# -- no lines


def test_too_few_photos():
    found = calibrate(PHOTOS[: LEAST_PHOTOS - 1], [(COHORT, STRANGERS)])
    assert found.lines is None
    assert str(found.refusal).startswith("only 7 photos show a face that can be measured and compared; 8 are needed")
    assert found.photos.n == 7
    assert calibrate(PHOTOS[:LEAST_PHOTOS], [(COHORT, STRANGERS)]).lines is not None
    with misfit("lines", 7):
        found.retention(0.5)
    assert found.retention_of_ceiling(0.5) is None


def test_no_photo_at_all():
    found = calibrate(np.zeros(0), [(COHORT, STRANGERS)])
    assert (found.photos, found.lines) == (None, None)
    assert str(found.refusal).startswith("only 0 photos")
    assert found.impostors[0].separation is None


@pytest.mark.parametrize("impostors", [[], [(COHORT, np.zeros(0))], [(BASE, np.full(LEAST_FACES - 1, 0.3))]])
def test_no_strangers(impostors):
    found = calibrate(PHOTOS, impostors)
    assert found.lines is None
    assert found.refusal.code == "no-strangers"
    assert found.impostors == []


def test_strangers_too_much_alike():
    """A drawn face: everything looks like everything."""
    near = spaced(0.75, 0.05, 50)
    assert separation(PHOTOS, near) < 3
    found = calibrate(PHOTOS, [(COHORT, STRANGERS), (BASE, near)])
    assert found.lines is None
    worst = separation(PHOTOS, near)
    assert found.refusal.code == "strangers-alike"
    said = f"cannot tell this character from strangers (separation d' {worst:.1f} to the base model, 3 is needed)"
    assert said in str(found.refusal)


def test_the_limit_of_separation_is_three():
    for d, drawn in ((2.95, False), (3.05, True)):
        spread = 1.4826 * 0.05
        photos = np.tile([0.8, 0.85, 0.9], 4)
        strangers = np.tile([-0.05, 0, 0.05], 4) + 0.85 - d * spread
        assert separation(photos, strangers) == pytest.approx(d)
        assert (calibrate(photos, [(COHORT, strangers)]).lines is not None) is drawn


# -- properties


COSINES = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(COSINES, min_size=8, max_size=30),
    st.lists(COSINES, min_size=0, max_size=30),
    st.lists(COSINES, min_size=5, max_size=30),
    st.one_of(st.none(), st.lists(COSINES, min_size=0, max_size=30)),
)
def test_lines_are_in_order_or_refused(photos, base, cohort, ceiling):
    top = None if ceiling is None else np.array(ceiling)
    found = calibrate(np.array(photos), [(BASE, np.array(base)), (COHORT, np.array(cohort))], top)
    assert (found.lines is None) is (found.refusal is not None)
    if found.lines is None:
        return
    highest = max(item.q99 for item in found.impostors)
    assert found.lines.zero < found.photos.median
    assert found.lines.zero <= found.lines.same <= found.lines.keep
    assert found.lines.keep >= highest + MARGIN - 1e-12
    assert found.lines.same >= highest - 1e-12
    assert found.retention(found.photos.median) == pytest.approx(1)
    assert found.retention(found.lines.zero) == 0
    assert min(item.separation for item in found.impostors) >= 3


@settings(max_examples=100, deadline=None)
@given(st.floats(0.5, 0.95), st.floats(0, 0.06), st.floats(-0.1, 0.3), st.floats(0.01, 0.1), st.integers(8, 40))
def test_clear_cases_always_get_lines_between_both(height, scatter, low, spread, count):
    photos, strangers = spaced(height, scatter, count), spaced(low, spread, 100)
    assume(separation(photos, strangers) >= 3)
    found = calibrate(photos, [(COHORT, strangers)])
    assert found.lines is not None
    assert found.lines.keep < max(found.photos.mean, found.impostors[0].q99 + MARGIN + 1e-12)


# -- faces never seen


def test_against_gives_a_cosine_each_and_nothing_for_no_cohort():
    template = template_of(people()[0, :10])
    values = against(template, people()[1])
    assert values.shape == (60,)
    np.testing.assert_allclose(values, [float(one @ template.array) for one in people()[1]], atol=1e-6)
    assert against(template, None).shape == (0,)


def test_lines_of_twenty_photos_hold_for_the_persons_other_pictures_and_keep_others_out():
    """16 people who are not in the cohort: 20 of their pictures draw the lines, 40 others are judged."""
    above, taken = [], []
    for number, person in enumerate(people()):
        template = template_of(person[:20])
        lines = lines_of(template).lines
        assert lines is not None
        own = person[20:] @ template.array
        others = np.concatenate([people()[:number], people()[number + 1 :]]).reshape(-1, 128) @ template.array
        above.append(float((own >= lines.keep).mean()))
        taken.append(float((others >= lines.keep).mean()))
    assert np.mean(above) >= 0.95
    assert min(above) >= 0.75
    assert np.mean(taken) <= 0.01


def test_a_calibration_without_photos_but_with_lines_is_refused():
    broken = Calibration(None, None, [], Lines(0.3, COHORT, 0.7, 0.6))
    with misfit("lines"):
        broken.retention(0.5)


def test_where_strangers_lie_near_more_of_the_persons_pictures_may_lie_under_the_line():
    """The line must not go under the strangers; then the alarm allows for the person's own pictures under it."""
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        photos, grid = random.normal(0.8, 0.05, 24), random.normal(0.8, 0.05, 20)
        found = calibrate(photos, [(COHORT, random.normal(0.8 - 3.6 * 0.05, 0.05, 622))])
        lines = found.lines
        if lines is None:
            continue  # too near for any verdict
        assert lines.below > 0.05
        alarms += lines.as_strangers(grid).sum() >= alarm_from(20, *found.own_as_strangers())
    assert alarms <= 0.04 * 200
    far = calibrate(random.normal(0.8, 0.05, 24), [(COHORT, random.normal(0.4, 0.05, 622))]).lines
    assert far is not None
    assert far.below == pytest.approx(0.05)
