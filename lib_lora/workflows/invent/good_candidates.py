"""Says which candidates are good to begin from: those that look ahead, are well lit, and have nothing over the eyes;
and which of them is the best.

A head that looks to one side cannot be turned to the other, and of a face in the dark or behind a fringe the engine
sees too little to hold it. Of some faces the base model keeps no view from the side, which shows only when one is
painted (docs/inventing.md). Knows numbers of faces; does not know who paints them. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lib_lora.captions.photo_facts import FaceFacts
from lib_lora.captions.slots import AHEAD
from lib_lora.workflows.invent.invented_folder import InventedPicture

Doubt = Literal["", "looks to a side", "badly lit", "perhaps something covers the eyes"]
DOUBTS: tuple[Doubt, ...] = ("looks to a side", "badly lit", "perhaps something covers the eyes")
# Set by looking at 32 candidates of the small base model beside these numbers.
_DARK, _BRIGHT = 70.0, 200.0  # mean grey level of the face
_ONE_SIDED = 0.35  # how much brighter one half of it may be than the other
_COVERED = 0.2  # how likely something covers the eyes; from 0.8 on a candidate cannot be picked


def doubt(face: FaceFacts, covered: float) -> Doubt:
    """What speaks against beginning from a face; empty where nothing does.

    Args:
        face: what was measured of it.
        covered: how likely something covers its eyes, 0..1 (`faces.unjudgeable.covered`).
    """
    if abs(face.yaw) >= AHEAD:
        return "looks to a side"
    if not _DARK <= face.light <= _BRIGHT or abs(face.side) > _ONE_SIDED:
        return "badly lit"
    return "perhaps something covers the eyes" if covered >= _COVERED else ""


def good_candidates(found: Sequence[InventedPicture], alike: Mapping[int, float]) -> list[InventedPicture]:
    """The candidates that are good to begin from; those that are the least like the others come first, because further
    pictures of them are most easily told from strangers.

    Args:
        found: the candidates.
        alike: by its number, the cosine of each to the most alike other one; a candidate without is left out.
    """
    good = [one for one in found if is_good_start(one) and one.number in alike]
    return sorted(good, key=lambda one: alike[one.number])


@dataclass(frozen=True)
class BestStart:
    """The candidate that is pointed out.

    Attributes:
        picture: the candidate.
        tried: numbers of the candidates of which views from the side were painted.
        turns: one of this candidate showed the same face.
    """

    picture: InventedPicture
    tried: tuple[int, ...] = ()
    turns: bool = False


def best_start(
    good: Sequence[InventedPicture], turns: Callable[[InventedPicture], bool | None], trials: int
) -> BestStart | None:
    """The first candidate whose face is kept where its head is turned to a side; if none of those tried is, the first.

    Args:
        good: see `good_candidates`.
        turns: paints a candidate from the side, and says whether its face is kept; None = that could not be done.
        trials: how many candidates are tried at most.

    Returns:
        None where none is good.
    """
    tried: list[int] = []
    for one in good[:trials]:
        kept = turns(one)
        if kept is not None:
            tried.append(one.number)
        if kept:
            return BestStart(one, tuple(tried), True)
    return BestStart(good[0], tuple(tried)) if good else None


def is_good_start(one: InventedPicture) -> bool:
    """Whether nothing speaks against beginning from a candidate; of those painted by older versions it is not known."""
    return not one.why and one.doubt == ""
