"""Which candidates are good to begin from, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora.captions.photo_facts import FaceFacts
from lib_lora.workflows.invent.good_candidates import BestStart, best_start, doubt, good_candidates, is_good_start
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


def test_the_least_like_the_others_of_the_good_comes_first():
    found = [candidate(1), candidate(2), candidate(3, doubt="badly lit"), candidate(4, why="no face", doubt=None)]
    assert [one.number for one in found if is_good_start(one)] == [1, 2]
    alike = {1: 0.5, 2: 0.3, 3: 0.1}
    assert good_candidates(found, alike) == [found[1], found[0]]
    assert good_candidates(found, {}) == good_candidates(found[2:], alike) == []


def test_the_best_is_the_first_that_can_be_painted_from_the_side():
    good, asked = [candidate(number) for number in (3, 1, 2)], []

    def turns(one: InventedPicture) -> bool:
        asked.append(one.number)
        return one.number in (1, 2)

    assert best_start(good, turns, 3) == BestStart(good[1], (3, 1), True)
    assert asked == [3, 1]  # none is painted behind it
    assert best_start(good, turns, 1) == BestStart(good[0], (3,))
    assert best_start(good, turns, 0) == BestStart(good[0])
    assert best_start([], turns, 3) is None
    assert best_start(good, lambda one: None, 3) == BestStart(good[0])  # could not be tried


def test_the_terminal_says_it_and_nothing_of_faces_that_an_older_version_painted():
    found = [candidate(1), candidate(2), candidate(3, doubt="badly lit"), candidate(4, why="no face")]
    alike = {1: 0.5, 2: 0.3, 3: 0.1}

    def said(some: list[InventedPicture], best: BestStart | None) -> str:
        return of_candidates("nova", some, alike, Path("sheet.png"), best)

    text = said(found, BestStart(found[1], (2,), True))
    assert "over the eyes make the best starting point: 1, 2.\n" in text
    assert "Begin from 2: it can be painted from the side.\n" in text
    assert "  3: badly lit; its likeness to the nearest other is 0.10" in text
    none = said(found, BestStart(found[1], (2, 1)))
    assert "Least like the others is 2, but none of those that were tried (2, 1) could be painted from the side" in none
    alone = said(found, BestStart(found[1], (2,)))
    assert "Least like the others is 2, but it could not be painted from the side" in alone
    assert "Least like the others is 2.\n" in said(found, BestStart(found[1]))
    assert "best starting point: none of these." in said(found[2:], None)
    assert "over the eyes" not in said([candidate(1, doubt=None)], None)
