"""The second recogniser, by which the first one is measured; what needs its packages is skipped without them."""

from __future__ import annotations

import numpy as np
import pytest

from bench import second_recogniser
from bench.second_recogniser import error_rate, pairs, to_mean


def test_equal_error_rate_by_hand() -> None:
    assert error_rate(np.array([0.8, 0.9, 0.7]), np.array([0.1, 0.2])) == (0.0, 0.7)
    rate, line = error_rate(np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.1, 0.3, 0.4, 0.75]))
    assert rate == pytest.approx(0.25)
    assert line in (0.7, 0.75)


def test_pairs_are_all_pairs_once() -> None:
    people = {"a": np.eye(3, 4, dtype=np.float32), "b": np.ones((2, 4), np.float32)}
    same, other = pairs(people, lambda one, two: one @ two.T)
    assert sorted(same.tolist()) == [0, 0, 0, 4]
    assert other.tolist() == [1] * 6


def test_likeness_to_the_mean_is_a_negative_distance() -> None:
    assert to_mean(np.array([[0, 0], [2, 0]], np.float32), np.array([[1, 3]], np.float32)).tolist() == [-3]


def test_tables_have_a_cell_below_each_heading() -> None:
    rates = {"SFace": 0.004, "dlib": 0.01, "both": 0.0}
    made = second_recogniser.together_table({"people": 7, "pairs": rates, "held-out pictures": rates}).splitlines()
    assert made[0] == "| 7 people, partly hard pictures | SFace | dlib | both together |"
    assert made[2] == "| pairs of pictures wrong | 0.4% | 1.0% | 0.0% |"
    assert {line.count("|") for line in made} == {5}


@pytest.mark.skipif(not second_recogniser.available(), reason="dlib-bin and face-recognition-models are not installed")
def test_it_tells_two_people_apart(engine, portrait) -> None:
    second = second_recogniser.SecondRecogniser()
    found = {
        (name, number): second.describe(portrait(name, number), engine.faces(portrait(name, number))[0].box)
        for name in ("mara", "viktor")
        for number in (0, 3)
    }
    near = [np.linalg.norm(found[name, 0] - found[name, 3]) for name in ("mara", "viktor")]
    far = [np.linalg.norm(found["mara", one] - found["viktor", two]) for one in (0, 3) for two in (0, 3)]
    assert max(near) < second_recogniser.SAME < min(far)
