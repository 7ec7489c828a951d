"""Which candidates are good to begin from, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora.captions.photo_facts import FaceFacts
from lib_lora.workflows.invent.good_candidates import best_candidate, doubt, is_good_start
from lib_lora.workflows.invent.invent_words import of_candidates
from lib_lora.workflows.invent.invented_folder import InventedPicture

pytestmark = pytest.mark.once("rules and words")


def face(**values: float) -> FaceFacts:
    return FaceFacts(
        **{"box": (0.2, 0.2, 0.6, 0.6), "px": 80, "score": 0.9, "sure": 0.75, "blur": 40, "yaw": 0.0, **values}
    )


def candidate(number: int, why: str = "", doubt: str | None = "") -> InventedPicture:
    return InventedPicture(f"candidates/{number:04d}.png", "", "", "", number, why=why, doubt=doubt)


@pytest.mark.parametrize(
    ("values", "covered", "said"),
    [
        ({}, 0.0, ""),
        ({"yaw": 0.14, "light": 75, "side": -0.3}, 0.19, ""),
        ({"yaw": -0.15}, 0.9, "looks to a side"),
        ({"yaw": 0.4}, 0.0, "looks to a side"),
        ({"light": 60}, 0.0, "badly lit"),
        ({"light": 210}, 0.0, "badly lit"),
        ({"side": -0.4}, 0.0, "badly lit"),
        ({}, 0.25, "perhaps something covers the eyes"),
    ],
)
def test_a_good_face_looks_ahead_is_lit_and_uncovered(values, covered, said):
    assert doubt(face(**values), covered) == said


def test_the_best_is_the_least_like_the_others_of_the_good():
    found = [candidate(1), candidate(2), candidate(3, doubt="badly lit"), candidate(4, why="no face", doubt=None)]
    assert [one.number for one in found if is_good_start(one)] == [1, 2]
    alike = {1: 0.5, 2: 0.3, 3: 0.1}
    assert best_candidate(found, alike) == found[1]
    assert best_candidate(found, {}) is None
    assert best_candidate(found[2:], alike) is None


def test_the_terminal_says_it_in_one_sentence_and_nothing_of_faces_that_an_older_version_painted():
    found = [candidate(1), candidate(2), candidate(3, doubt="badly lit"), candidate(4, why="no face")]
    alike = {1: 0.5, 2: 0.3, 3: 0.1}
    text = of_candidates("nova", found, alike, Path("sheet.png"))
    assert "over the eyes make the best starting point: 1, 2; least like the others is 2." in text
    assert "  3: badly lit; its likeness to the nearest other is 0.10" in text
    assert "best starting point: none of these." in of_candidates("nova", found[2:], alike, Path("sheet.png"))
    assert "best starting point: 1." in of_candidates("nova", found[:1], alike, Path("sheet.png"))
    assert "over the eyes" not in of_candidates("nova", [candidate(1, doubt=None)], {}, Path("sheet.png"))
