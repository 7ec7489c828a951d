"""Says which candidates are good to begin from: those that look ahead, are well lit, and have nothing over the eyes.

A head that looks to one side cannot be turned to the other, and of a face in the dark or behind a fringe the engine
sees too little to hold it (docs/inventing.md). Knows numbers of faces; does not know who painted them. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def best_candidate(found: Sequence[InventedPicture], alike: Mapping[int, float]) -> InventedPicture | None:
    """The candidate that a further picture is most easily told from strangers of, among those good to begin from.

    Args:
        found: the candidates.
        alike: by its number, the cosine of each to the most alike other one.

    Returns:
        None where none is good, or it is not known how alike they are.
    """
    good = [one for one in found if is_good_start(one) and one.number in alike]
    return min(good, key=lambda one: alike[one.number], default=None)


def is_good_start(one: InventedPicture) -> bool:
    """Whether nothing speaks against beginning from a candidate; of those painted by older versions it is not known."""
    return not one.why and one.doubt == ""
