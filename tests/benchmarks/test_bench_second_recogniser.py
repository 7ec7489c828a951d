"""The second recogniser, by which the first one is measured; what needs its packages is skipped without them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import second_recogniser
from bench.second_recogniser import error_rate, pairs, to_mean
from bench.verdict.likeness_figures import STORED


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


@pytest.mark.parametrize("name", ["agreement", "together"])
def test_the_stored_tables_are_made_of_the_stored_figures(name: str) -> None:
    """Those that docs/likeness.md has (`test_bench_likeness_figures.py`)."""
    figures = json.loads((STORED / f"{name}.json").read_text(encoding="utf-8"))["figures"]
    made = getattr(second_recogniser, f"{name}_table")(figures)
    assert made == (STORED / f"{name}.md").read_text(encoding="utf-8").strip()
    assert len({line.count("|") for line in made.splitlines()}) == 1


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
