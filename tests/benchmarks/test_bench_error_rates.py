"""The error rates of the verdict: whose pictures a draw takes, and intervals that know people."""

from __future__ import annotations

import numpy as np
import pytest

from bench.verdict import error_rates
from bench.verdict.error_rates import MeasuredPerson, share


def test_people_are_the_units() -> None:
    """Of ten people one alone has every alarm: a tenth of the draws, but who knows of the next ten people?"""
    groups = [f"person {number // 50}" for number in range(500)]
    one = share([float(number < 50) for number in range(500)], groups)
    all_alike = share([float(number % 10 == 0) for number in range(500)], groups)
    assert one["value"] == all_alike["value"] == pytest.approx(0.1)
    assert (one["low"], one["people"], one["draws"]) == (0.0, 10, 500)
    assert one["high"] > 0.25
    assert all_alike["high"] == pytest.approx(0.1)


def test_a_hard_picture_that_cannot_be_judged_is_taken_as_it_is() -> None:
    clean = np.eye(4, 128, dtype=np.float32)
    hard = -clean
    hard[2] = np.nan
    seen = MeasuredPerson("a", clean, hard).some(list(range(4)) * 50, np.random.default_rng(1)).reshape(50, 4, 128)
    assert np.isfinite(seen).all()
    assert (seen[:, 2] == clean[2]).all()
    assert 0 < (seen[:, 0] == hard[0]).all(1).mean() < 1


def test_near_strangers_are_all_of_the_person_who_is_most_alike() -> None:
    random = np.random.default_rng(2)
    people = [
        MeasuredPerson(str(place), np.tile(row, (6, 1))) for place, row in enumerate(np.eye(3, 128, dtype=np.float32))
    ]
    mean = np.array([0.1, 0.9, 0.2, *[0.0] * 125], np.float32)
    assert (error_rates._strangers(people, mean, 4, True, random) == people[1].clean[0]).all()
    chance = error_rates._strangers(people, mean, 3, False, random)
    assert sorted(chance.argmax(1).tolist()) == [0, 1, 2]
    assert error_rates._strangers(people, mean, 0, True, random).shape == (0, 128)


def test_the_stored_people_are_measured_by_the_engine_of_today() -> None:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    with np.load(error_rates.UNSEEN, allow_pickle=False) as archive:
        assert str(archive["engine"]) == SFaceEngine().id
    people = error_rates.unseen_people()
    assert all(len(person.clean) >= error_rates.PHOTOS + error_rates.PICTURES for person in people)


def test_a_few_grids_of_unseen_people() -> None:
    """Four strangers of twenty raise the alarm; the person's own pictures hardly ever (docs/likeness.md has rates)."""
    people = error_rates.unseen_people()[:4]
    others = [*error_rates.tested_people(), *people]
    own = error_rates.draws(people, others, 0, False, 12, 1)
    mixed = error_rates.draws(people, others, 4, False, 12, 1)
    near = error_rates.draws(people, others, 4, True, 12, 1)
    assert sum(own.alarm) <= 1
    assert all(mixed.alarm)
    assert sum(near.alarm) >= 9
    assert len(set(own.groups)) == 4
