"""Mirrors kept views from one side where too few views from the other side could be painted.

A face is nearly its own mirror image, and not quite: partings and moles change sides. So that is a setting, it is done
last, it goes no further than coverage needs, and the result says of which pictures it was done. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lora.workflows.invent.coverage_plan import ENOUGH, SIDES, Tried, coverage
from lib_lora.workflows.invent.invented_folder import InventedPicture

WAY = "mirror"


def is_mirrored(one: InventedPicture) -> bool:
    """Whether a picture is the mirror image of another one."""
    return one.way == WAY


@dataclass(frozen=True)
class Views:
    """What there is to mirror, and what was mirrored before.

    Attributes:
        kept: pictures that were painted and are kept.
        sources: those of them that can be mirrored: their files are there, and they were not mirrored before (a mirror
            image that was not kept, or was deleted, is not made again).
        mirrored: mirror images that are kept.
    """

    kept: Sequence[InventedPicture]
    sources: Sequence[InventedPicture]
    mirrored: Sequence[InventedPicture]


def to_mirror(views: Views, count: int) -> list[InventedPicture]:
    """Which of the kept pictures should be mirrored, those that look furthest to their side first.

    Only from the side of which more were painted to the other one: where both sides have as many, mirror images would
    be more of the same.

    Args:
        views: what there is.
        count: how many pictures are wanted in all.
    """
    painted = {side: sum(one.shown.get("angle") == side for one in views.kept) for side in SIDES}
    shown = [Tried(one.asked, one.shown) for one in (*views.kept, *views.mirrored)]
    found: list[InventedPicture] = []
    for state in coverage(shown, count):
        if state.kind != "angle" or state.value not in SIDES:
            continue
        other = _opposite(state.value)
        if painted[other] <= painted[state.value]:
            continue
        there = [one for one in views.sources if one.shown.get("angle") == other]
        there.sort(key=lambda one: -abs(one.yaw or 0.0))
        found += there[: max(0, math.ceil(ENOUGH * state.goal) - state.have)]
    return found


def as_if_mirrored(views: Views, count: int) -> list[Tried]:
    """What coverage gains by the mirror images that are there, and by those that could be made."""
    there = [Tried({}, one.shown) for one in views.mirrored]
    coming = to_mirror(views, count)
    return there + [Tried({}, {**one.shown, "angle": _opposite(one.shown["angle"])}) for one in coming]


def _opposite(side: str) -> str:
    return next(other for other in SIDES if other != side)
