"""The four numbers of a LoRA: their values, what the rules say of each, and why one could not be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simulated
from report_toys import facts_by_name
from test_rules import CLEAN, changed

from lib_lora.likeness.measure.calibration import BASE, calibrate
from lib_lora.likeness.measure.face_measure import Measured
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.report.four_numbers import LABELS, QualityNumber, four_numbers, templates
from lib_lora.likeness.verdict.facts import Asked, Facts
from lib_lora.likeness.verdict.metrics import LEAST_GAIN, facts_of
from lib_lora.likeness.verdict.picture_set import PictureSet
from lib_lora.likeness.verdict.rule_conditions import FOLLOWED, HALF, KEPT, LEAKED, UNTRIGGERED

NO_BASE = {
    "base_no_face_share": None, "mutual_base": None, "uplift": None, "uplift_pairs": 0, "leak_share": None,
    "asked_told": 0, "asked_told_base": 0, "turning": None, "scene": None, "followed": None, "variety_ratio": None,
    "variety_limit": None,
}  # fmt: skip


def of(facts: Facts) -> dict[str, QualityNumber]:
    return {one.code: one for one in four_numbers(facts)}


def one(code: str, **values: Any) -> QualityNumber:
    return of(changed(CLEAN, **values))[code]


def test_a_good_lora_has_four_shares_in_which_more_is_better() -> None:
    numbers = four_numbers(CLEAN)
    assert [number.code for number in numbers] == [*LABELS]
    assert [(number.value, number.tone) for number in numbers] == [
        (0.97, "good"), (pytest.approx(0.9), "none"), (0.7, "none"), (0.9, "none")
    ]  # fmt: skip
    assert [number.why_not for number in numbers] == [None] * 4
    assert "the leak is 10%, and 0 of 4 such pictures show the person" in str(numbers[1].meaning)
    assert "under 45% they are all alike" in str(numbers[3].meaning)


@pytest.mark.parametrize(
    ("code", "fact", "measured", "shown"),
    [
        ("identity", "retention_best", 1.07, 1.0), ("identity", "retention_best", -0.2, 0.0),
        ("only_when_asked", "leak_share", 1.1, 0.0), ("only_when_asked", "leak_share", -0.05, 1.0),
        ("variety", "variety_ratio", 1.3, 1.0), ("obedience", "followed", 0.0, 0.0),
    ],
)  # fmt: skip
def test_none_is_beyond_its_ends(code: str, fact: str, measured: float, shown: float) -> None:
    assert one(code, **{fact: measured}).value == shown


@pytest.mark.parametrize(
    ("code", "values", "tone"),
    [
        ("identity", {"retention_best": KEPT}, "good"),
        ("identity", {"retention_best": KEPT - 1e-6}, "warn"),
        ("identity", {"retention_best": HALF}, "warn"),
        ("identity", {"retention_best": HALF - 1e-6}, "bad"),
        ("identity", {"retention_best": 0.8, "own_retention": 0.79}, "good"),  # what the person's own may have
        ("only_when_asked", {"leak": LEAKED - 1}, "none"),
        ("only_when_asked", {"leak": LEAKED}, "warn"),
        ("only_when_asked", {"leak_share": UNTRIGGERED - 1e-6}, "none"),
        ("only_when_asked", {"leak_share": UNTRIGGERED}, "warn"),
        ("obedience", {"followed": FOLLOWED}, "none"),
        ("obedience", {"followed": FOLLOWED - 1e-6}, "warn"),
        ("obedience", {"followed": FOLLOWED - 1e-6, "mutual": 0.84}, "bad"),  # the pictures also vary less than photos
        ("variety", {"variety_ratio": 0.45}, "none"),
        ("variety", {"variety_ratio": 0.45 - 1e-6}, "warn"),
    ],
)
def test_tones_turn_at_the_limits_of_the_rules(code: str, values: dict[str, Any], tone: str) -> None:
    assert one(code, **values).tone == tone


def test_without_a_verdict_nothing_is_said_of_a_number() -> None:
    numbers = four_numbers(changed(CLEAN, several_share=0.6, retention_best=0.3, leak=4))
    assert [number.tone for number in numbers] == ["none"] * 4
    assert numbers[0].value == 0.3


@pytest.mark.parametrize(
    ("code", "values", "why"),
    [
        ("identity", {"retention_best": None, "refusal": "only 2 photos"}, "no lines could be drawn"),
        ("identity", {"retention_best": None, "counted": 4}, "only 4 faces can be measured; 5 are needed"),
        ("identity", {"retention_best": None, "keep": None}, "no lines could be drawn"),
        ("identity", {"retention_best": None}, "this report does not say"),
        ("only_when_asked", {"leak_share": None, "leak": None, "keep": None}, "no lines could be drawn"),
        (
            "only_when_asked",
            {"leak_share": None, "leak": None, "leak_cells": 0},
            "no pictures without the trigger word",
        ),
        (
            "only_when_asked",
            {"leak_share": None, "leak_cells": 2},
            "only 2 pictures without the trigger word; 3 are needed",
        ),
        ("only_when_asked", {"leak_share": None, "counted": 2}, "only 2 faces can be measured; 3 are needed"),
        ("only_when_asked", NO_BASE, "no pictures without the LoRA"),
        (
            "only_when_asked",
            {"leak_share": None, "uplift": None, "uplift_pairs": 2},
            "fewer than 5 pictures can be compared with those without the LoRA",
        ),
        (
            "only_when_asked",
            {"leak_share": None, "uplift": LEAST_GAIN - 1e-6},
            "with the LoRA the face is hardly more like the photos than without it",
        ),
        (
            "only_when_asked",
            {"leak_share": None},
            "fewer than 3 pictures without the trigger word can be judged, or the LoRA gains too little",
        ),
        ("obedience", NO_BASE, "no pictures without the LoRA"),
        (
            "obedience",
            {"followed": None, "scene": None, "turning": None, "uplift_pairs": 4},
            "fewer than 5 pictures can be compared with those of the same prompts without the LoRA",
        ),
        ("obedience", {"followed": None, "scene": None}, "this report does not say"),
        (
            "obedience",
            {"followed": None, "turning": None, "asked_told": 4},
            "fewer than 5 heads and mouths that were asked for something can be judged",
        ),
        (
            "obedience",
            {"followed": None, "turning": None, "asked_given_base": 1},
            "the base model itself does too little of what was asked",
        ),
        ("variety", NO_BASE, "no pictures without the LoRA"),
        (
            "variety",
            {"variety_ratio": None, "uplift": None},
            "fewer than 5 pictures can be compared with those without the LoRA",
        ),
        ("variety", {"variety_ratio": None}, "this report does not say"),
    ],
)
def test_what_could_not_be_measured_says_why(code: str, values: dict[str, Any], why: str) -> None:
    number = one(code, **values)
    assert (number.value, number.tone, str(number.why_not)) == (None, "none", why)
    assert str(number.meaning)


def test_without_a_ceiling_identity_is_measured_against_the_photos() -> None:
    assert "VAE" in str(one("identity").meaning)
    assert "VAE" not in str(one("identity", ceiling_retention=None).meaning)


def test_nothing_at_all_is_four_reasons() -> None:
    numbers = four_numbers(facts_by_name(refusal="only 2 photos show a face"))
    assert [number.value for number in numbers] == [None] * 4
    assert all(number.why_not for number in numbers)


def test_every_word_is_listed_for_translation() -> None:
    listed = {*templates()}
    for facts in (CLEAN, changed(CLEAN, **NO_BASE), Facts()):
        for number in four_numbers(facts):
            said = [number.label, number.meaning, *([number.why_not] if number.why_not else [])]
            assert {message.template for message in said} <= listed


OWN = simulated.people()[2]
OTHERS = [simulated.people()[other][0] for other in range(3, 16)]
NONE_WITHOUT, NONE_UNASKED = "no pictures without the LoRA", "no pictures without the trigger word"


def painted(faces: Sequence[Any], template: Template, yaws: Sequence[float] = (0.0,)) -> list[Measured]:
    """Pictures of these faces, each before a colour of its own; the heads turn by `yaws`, again and again."""
    plain = [simulated.picture(face, template) for face in faces]
    return [
        replace(
            item,
            hash=place * 0x9E3779B97F4A7C15 % 2**64,
            surroundings=np.eye(128, dtype=np.float32)[place],
            score=replace(item.score, face=replace(simulated.FACE, yaw=yaws[place % len(yaws)], expression="smiling")),
        )
        for place, item in enumerate(plain)
    ]


@pytest.mark.parametrize(
    ("shown", "reasons"),
    [
        ({}, [None, None, None, None]),
        ({"base": None, "leak": None}, [None, NONE_UNASKED, NONE_WITHOUT, NONE_WITHOUT]),
        ({"leak": OWN[40:42]}, [None, "only 2 pictures without the trigger word; 3 are needed", None, None]),
        (
            {"ours": OTHERS, "base": [*OTHERS[:-1], OWN[50]]},
            [None, "with the LoRA the face is hardly more like the photos than without it", None, None],
        ),
        (
            {"ours": OWN[24:26], "base": OTHERS[:2]},
            [
                "only 2 faces can be measured; 5 are needed",
                "only 2 faces can be measured; 3 are needed",
                "fewer than 5 pictures can be compared with those of the same prompts without the LoRA",
                "fewer than 5 pictures can be compared with those without the LoRA",
            ],
        ),
        (
            {"yaws": (0.0,), "asked": ""},
            [None, None, "fewer than 5 heads and mouths that were asked for something can be judged", None],
        ),
        (
            {"yaws": (0.0,), "asked": "expression: serious"},
            [None, None, "the base model itself does too little of what was asked", None],
        ),
    ],
)
def test_the_reason_is_that_for_which_nothing_was_measured(shown: dict[str, Any], reasons: list[str | None]) -> None:
    """With the functions that measure: what is left out there has the reason for which it is left out."""
    own = simulated.template_of(OWN[:24])
    lines = calibrate(own.loo, [(BASE, np.array([one @ own.array for one in OTHERS], np.float64))])
    given = {"ours": OWN[24:37], "base": OTHERS, "leak": OWN[40:44], "yaws": (0.0, 0.5), "asked": "", **shown}
    base, leak = given["base"], given["leak"]
    pictures = PictureSet(
        painted(given["ours"], own, given["yaws"]),
        [Asked(str(place), attributes=(given["asked"],)) for place in range(len(given["ours"]))],
        base=None if base is None else painted(base, own, given["yaws"]),
        leak=None if leak is None else painted(leak, own),
    )
    numbers = four_numbers(facts_of(pictures, own, lines))
    assert [number.why_not and str(number.why_not) for number in numbers] == reasons
    assert [number.value is None for number in numbers] == [reason is not None for reason in reasons]
