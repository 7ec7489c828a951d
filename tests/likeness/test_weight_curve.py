"""The curve over another LoRA's weight: retention, paired differences, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faults import misfit
from report_toys import CALIBRATION

from lib_lora.faces.face import Quality
from lib_lora.likeness.comparing.weight_curve import LEAST_PROMPTS, MOST_LOST, WeightPoint, curve, pairs_needed
from lib_lora.likeness.comparing.weight_verdict import judge_curve, templates, without_curve
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.verdict.facts import NO_FACE

N = 20
PROMPTS = [f"prompt {number}" for number in range(N)]
WHOLE = CALIBRATION.retention_of_best(1.0) - CALIBRATION.retention_of_best(0.0)  # retention of one unit of likeness


def score(kept: float, reason: str = "") -> ImageScore:
    """A picture that keeps this share of the identity."""
    assert CALIBRATION.lines
    return ImageScore("x.png", CALIBRATION.lines.zero + kept / WHOLE, reason, 1)


GONE = ImageScore("x.png", None, NO_FACE, 0)


def scores(mean: float, scatter: float = 0.0, seed: int = 0) -> list[ImageScore]:
    drawn = np.random.default_rng(seed).normal(0, 1, N)
    return [score(mean + scatter * float(one)) for one in (drawn - drawn.mean()) / drawn.std()]


ALONE = scores(0.9, 0.1)


def kinds(*others: list[ImageScore]) -> list[str]:
    weights = [0.0, *(0.25 * (number + 1) for number in range(len(others)))]
    return [one.kind for one in curve(weights, [ALONE, *others], PROMPTS, CALIBRATION)]


def test_a_change_is_measured_in_pairs():
    shifted = [replace(one, likeness=one.likeness - 0.3 / WHOLE) for one in ALONE]
    alone, point = curve([0, 0.5], [ALONE, shifted], PROMPTS, CALIBRATION)
    assert (alone.kind, alone.change, alone.pairs) == ("alone", None, N)
    assert alone.retention == pytest.approx(0.9)
    assert alone.low < 0.9 < alone.high
    assert (point.weight, point.pictures, point.pairs, point.gone, point.dropped) == (0.5, N, N, 0, 0)
    assert point.retention == pytest.approx(0.6)
    # each picture lost the same, so the interval is narrow although the pictures differ
    assert point.change == pytest.approx(-0.3)
    assert (point.change_low, point.change_high) == (pytest.approx(-0.3), pytest.approx(-0.3))
    assert point.low < 0.57
    assert point.kind == "lost"


@pytest.mark.parametrize(
    ("mean", "scatter", "kind"),
    [
        (0.9, 0.02, "survives"),
        (0.87, 0.05, "survives"),
        (0.87, 0.3, "unclear"),  # the interval reaches beyond the limit
        (0.81, 0.12, "changes"),
        (0.82, 0.3, "unclear"),
        (0.5, 0.1, "lost"),
    ],
)
def test_what_is_said_of_a_weight_follows_from_the_interval(mean, scatter, kind):
    other = [
        replace(one, likeness=one.likeness + (two.likeness - 0.4) * 1.0)
        for one, two in zip(ALONE, scores(mean - 0.9, scatter, seed=3), strict=True)
    ]
    point = curve([0, 0.5], [ALONE, other], PROMPTS, CALIBRATION)[1]
    assert point.change == pytest.approx(mean - 0.9)
    assert point.kind == kind
    assert (point.change_low >= -MOST_LOST) == (kind == "survives")
    assert (point.change_high < -MOST_LOST) == (kind == "lost")


def test_a_face_that_is_gone_has_lost_everything():
    other = [*ALONE[:10], *[GONE] * 10]
    point = curve([0, 1], [ALONE, other], PROMPTS, CALIBRATION)[1]
    assert (point.pairs, point.gone, point.dropped) == (N, 10, 0)
    kept = float(np.mean([CALIBRATION.retention_of_best(one.likeness) for one in ALONE[:10]]))
    assert point.retention == pytest.approx(kept / 2)
    assert point.kind == "lost"


def test_faces_that_cannot_be_measured_do_not_count_and_too_many_of_them_say_nothing():
    painted = replace(score(0.9), reason="it looks painted", face=Quality(100, 0.95, 900, 0, hidden="painted"))
    points = curve([0, 1], [ALONE, [*ALONE[:18], *[painted] * 2]], PROMPTS, CALIBRATION)
    # what is left is as it was, but if those two are lost, the loss may be more than 10 %
    assert (points[1].kind, points[1].pairs, points[1].dropped, points[1].dropped_by) == ("unclear", 18, 2, "painted")
    assert points[1].worst < -MOST_LOST < points[1].change_low
    verdict = judge_curve(points, "ink")
    assert (verdict.kind, verdict.action) == ("cannot be told", "look")
    assert "2 of 20 faces there cannot be measured (they look painted or drawn); if those are lost" in verdict.because
    point = curve([0, 1], [ALONE, [*ALONE[:12], *[painted] * 8]], PROMPTS, CALIBRATION)[1]
    assert (point.kind, point.pairs, point.dropped) == ("not measurable", 12, 8)
    assert kinds([*ALONE[:2], *[painted] * 18]) == ["alone", "not measurable"]


def test_faces_that_cannot_be_measured_are_said_where_the_face_survives_all_the_same():
    prompts = [f"prompt {number}" for number in range(80)]
    painted = replace(score(0.9), reason="it looks painted", face=Quality(100, 0.95, 900, 0, hidden="painted"))
    points = curve([0, 1], [ALONE * 4, [painted, *(ALONE * 4)[1:]]], prompts, CALIBRATION)
    assert (points[1].kind, points[1].dropped) == ("survives", 1)
    said = "1 of 80 faces there cannot be measured (they look painted or drawn); that holds even if they are lost"
    assert said in judge_curve(points, "ink").because


def test_few_prompts_never_say_that_a_face_survives():
    for count, kind in ((LEAST_PROMPTS - 1, "unclear"), (LEAST_PROMPTS, "survives")):
        points = curve([0, 1], [ALONE[:count]] * 2, PROMPTS[:count], CALIBRATION)
        assert (points[1].kind, points[1].prompts) == (kind, count)
    same = curve([0, 1], [ALONE] * 2, [PROMPTS[number % 10] for number in range(N)], CALIBRATION)
    assert (same[1].kind, same[1].pairs, same[1].prompts) == ("unclear", N, 10)  # two seeds of ten prompts
    verdict = judge_curve(same, "ink")
    assert (verdict.kind, verdict.action, verdict.value) == ("cannot be told", "more_pictures", 40)
    assert "pictures of 10 prompts overlook" in verdict.because


def test_pictures_that_do_not_count_alone_are_no_pairs():
    alone = [*ALONE[:5], *[replace(one, reason="the face is small") for one in ALONE[5:]]]
    points = curve([0, 1], [alone, ALONE], PROMPTS, CALIBRATION)
    assert [(one.pairs, one.retention, one.kind) for one in points] == [(5, None, "alone"), (5, None, "too few")]


def test_a_face_that_is_lost_without_the_other_lora_can_lose_no_more():
    stranger = score(0.1)
    alone = [stranger, *ALONE[1:]]
    other = [score(0.9), *(replace(one, likeness=one.likeness - 0.2 / WHOLE) for one in ALONE[1:])]
    point = curve([0, 1], [alone, other], PROMPTS, CALIBRATION)[1]
    assert (point.pairs, point.lost_alone, point.dropped) == (N - 1, 1, 0)
    assert point.change == pytest.approx(-0.2)  # and not less, for the one that the other LoRA has mended
    assert point.kind == "lost"


@pytest.mark.parametrize("weights", [[0.5, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0], []])
def test_weights_ascend_from_nothing(weights):
    with misfit("weights"):
        curve(weights, [ALONE] * len(weights), PROMPTS, CALIBRATION)


def test_each_weight_has_a_picture_of_each_prompt():
    with misfit("scores"):
        curve([0, 1], [ALONE, ALONE[:3]], PROMPTS, CALIBRATION)


def point(weight: float, kind: str, change: float = 0.0, reach: float = 0.05, pairs: int = 10, **more) -> WeightPoint:
    found = {"change": change, "change_low": change - reach, "change_high": change + reach}
    return WeightPoint(weight, 12, pairs, prompts=pairs, retention=0.8, low=0.7, high=0.9, kind=kind, **found, **more)


START = WeightPoint(0.0, N, N, retention=0.9, low=0.8, high=1.0)


@pytest.mark.parametrize(
    ("tried", "kind", "weight", "action", "value"),
    [
        ([("survives", 0.25), ("survives", 0.5)], "survives", 0.5, "use_weight", 0.5),
        ([("survives", 0.25), ("lost", 0.5), ("lost", 1)], "survives up to", 0.25, "use_weight", 0.25),
        ([("survives", 0.25), ("unclear", 0.5)], "survives up to", 0.25, "use_weight", 0.25),
        # a weight counts only where all lower ones do
        ([("survives", 0.25), ("unclear", 0.5), ("survives", 1)], "survives up to", 0.25, "use_weight", 0.25),
        ([("unclear", 0.25), ("survives", 0.5)], "cannot be told", None, "more_pictures", None),
        ([("lost", 0.5), ("lost", 1)], "changes", None, "lower_weights", 0.25),
        ([("changes", 0.5), ("lost", 1)], "changes", None, "lower_weights", 0.25),
        ([("lost", 0.5), ("unclear", 1)], "changes from the lowest", None, "lower_weights", 0.25),
        ([("lost", 0.1), ("lost", 1)], "changes", None, "leave_out", None),
        ([("not measurable", 0.5), ("survives", 1)], "not measurable", None, "look", None),
        ([("too few", 0.5), ("too few", 1)], "cannot be told", None, "more_pictures", 20),
    ],
)
def test_the_verdict_on_a_curve(tried, kind, weight, action, value):
    verdict = judge_curve([START, *(point(weight, kind) for kind, weight in tried)], "ink")
    assert (verdict.kind, verdict.weight, verdict.action) == (kind, weight, action)
    assert value is None or verdict.value == value
    assert verdict.judged == (kind.startswith(("survives", "changes")))
    assert {one["template"] for one in verdict.messages.values()} <= set(templates())
    said = f"{verdict.headline} {verdict.because} {verdict.advice}"
    assert "ink" in verdict.headline
    assert "None" not in said
    assert "{" not in said


def test_too_few_pictures_are_said_with_how_many_it_takes():
    near = point(0.25, "unclear", change=-0.04, reach=0.08)  # 10 pairs reach 0.08; 0.06 is room to the limit
    assert pairs_needed(near) == 18
    verdict = judge_curve([START, near], "ink")
    assert (verdict.action, verdict.value) == ("more_pictures", 40)  # 12 gave 10 pairs; 22 would be of some prompts
    assert "40 pictures" in verdict.advice
    too_near = point(0.25, "unclear", change=-0.05, reach=0.08)  # 26 pairs, and there are 20 prompts
    assert pairs_needed(too_near) is None
    assert judge_curve([START, too_near], "ink").action == "lower_weights"


def test_without_a_face_to_keep_there_is_no_verdict():
    drift = without_curve("ink", "The face drifts")
    assert (drift.kind, drift.judged, drift.action) == ("does not hold alone", False, "follow_test")
    assert "The face drifts" in drift.because
    refused = without_curve("ink", "No verdict", "only 2 photos show a face")
    assert (refused.kind, refused.judged) == ("no lines", False)
    assert "only 2 photos" in refused.because
