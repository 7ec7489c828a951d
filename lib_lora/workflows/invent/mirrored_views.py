"""Mirror images of kept views from one side, where too few views from the other side could be painted.

A face is nearly its own mirror image, and not quite: partings and moles change sides. So that is a setting, it is done
last, it goes no further than coverage needs, and the result says of which pictures it was done. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lib_lora.workflows.invent.coverage_plan import ENOUGH, SIDES, Tried, coverage
from lib_lora.workflows.invent.invented_folder import InventedPicture

WAY = "mirror"


def is_mirrored(one: InventedPicture) -> bool:
    """Whether a picture is the mirror image of another one."""
    return one.way == WAY


def to_mirror(
    kept: Sequence[InventedPicture], mirrored: Sequence[InventedPicture], count: int
) -> list[InventedPicture]:
    """Which of the kept pictures shall be mirrored, those that look furthest to their side first.

    Args:
        kept: pictures that were painted and kept.
        mirrored: mirror images that are there; one that was not kept is not made again, and does not count.
        count: how many pictures are wanted in all.
    """
    done = {one.start for one in mirrored}
    shown = [Tried(one.asked, one.shown) for one in (*kept, *(one for one in mirrored if one.kept))]
    found: list[InventedPicture] = []
    for state in coverage(shown, count):
        if state.kind != "angle" or state.value not in SIDES:
            continue
        other = next(side for side in SIDES if side != state.value)
        there = [one for one in kept if one.shown.get("angle") == other and one.file not in done]
        there.sort(key=lambda one: -abs(one.yaw or 0.0))
        found += there[: max(0, math.ceil(ENOUGH * state.goal) - state.have)]
    return found


def as_if_mirrored(kept: Sequence[InventedPicture], mirrored: Sequence[InventedPicture], count: int) -> list[Tried]:
    """What coverage gains by the mirror images that are there, and by those that could be made."""
    there = [Tried({}, one.shown) for one in mirrored if one.kept]
    coming = to_mirror(kept, mirrored, count)
    return there + [Tried({}, {**one.shown, "angle": _opposite(one.shown["angle"])}) for one in coming]


def _opposite(side: str) -> str:
    return next(other for other in SIDES if other != side)
