"""Plans which pictures a set of references needs, and which to try next given what was kept.

Knows words and counts; does not know who paints, nor how a picture is judged. What a picture shows comes from outside:
what it was asked for, corrected where something else was measured. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Wish = Mapping[str, str]  # kind -> value, e.g. {"framing": "close", "angle": "left"}
HOPELESS = 12  # tries of a value without a single success, after which it is asked for no more
# A side is given up later, since what is kept meanwhile may be easier to turn; after `HOPELESS` failures, and until
# enough are kept, it is asked for in one of so many pictures.
SIDE_HOPELESS, HOPED = 48, 8
BEFORE = 3  # successes of the kind's other values, without which failures say nothing about this one
MOST = 4 / 3  # of the wanted count; with so many kept, painting goes on for a missing view, no longer for a framing
ENOUGH = 0.6  # of its goal; from there on a value that is counted for coverage is covered


@dataclass(frozen=True)
class Value:
    """One thing that a picture may show.

    Attributes:
        name: of the value, within its kind.
        phrase: what is asked of the painter; that of a framing has ``{who}`` in it.
        share: of the pictures that should show it; those of a kind add up to 1.
    """

    name: str
    phrase: str
    share: float


# Half of the pictures from the front, as face LoRAs want it; the words are those that captions use.
KINDS: Mapping[str, tuple[Value, ...]] = {
    "framing": (
        Value("close", "close-up portrait photo of {who}", 0.5),
        Value("half", "upper body photo of {who}", 0.35),
        Value("full", "full body photo of {who}", 0.15),
    ),
    "angle": (
        Value("ahead", "looking ahead", 0.44),
        Value("left", "looking left", 0.28),
        Value("right", "looking right", 0.28),
    ),
    "expression": (
        Value("serious", "serious", 0.4),
        Value("smiling", "smiling", 0.4),
        Value("laughing", "laughing", 0.2),
    ),
    "background": (
        Value("dark", "dark background", 0.25),
        Value("light", "light background", 0.25),
        Value("coloured", "coloured background", 0.2),
        Value("street", "city street in the background", 0.15),
        Value("garden", "garden in the background", 0.15),
    ),
    "light": (
        Value("daylight", "soft daylight", 0.3),
        Value("warm", "warm light", 0.3),
        Value("hard", "hard light", 0.2),
        Value("evening", "evening light", 0.2),
    ),
    "outfit": (
        Value("shirt", "wearing a white shirt", 0.25),
        Value("sweater", "wearing a red sweater", 0.25),
        Value("coat", "wearing a black coat", 0.25),
        Value("jacket", "wearing a denim jacket", 0.25),
    ),
}
SIDES = ("left", "right")  # angles at which a face is seen from the side
COUNTED = ("framing", "angle")  # kinds by which coverage is judged: a face is learned by views, the rest is variety


@dataclass(frozen=True)
class Tried:
    """One picture that was painted.

    Attributes:
        asked: what for.
        shown: what it shows; None where it was not kept.
    """

    asked: Wish
    shown: Wish | None


@dataclass(frozen=True)
class Covered:
    """How far one value is covered.

    Attributes:
        kind, value: which.
        have: pictures that show it.
        goal: how many should.
        hopeless: it never succeeded and is asked for no more.
    """

    kind: str
    value: str
    have: int
    goal: int
    hopeless: bool


def coverage(tried: Sequence[Tried], count: int) -> list[Covered]:
    """How far every value of every kind is covered.

    Args:
        tried: all pictures so far.
        count: how many are wanted in all.
    """
    shown = [one.shown for one in tried if one.shown is not None]
    return [
        Covered(
            kind,
            value.name,
            sum(what.get(kind) == value.name for what in shown),
            max(1, round(value.share * count)),
            _hopeless(tried, kind, value.name),
        )
        for kind, values in KINDS.items()
        for value in values
    ]


def is_good(covered: Sequence[Covered]) -> bool:
    """Whether every value that counts, and that this painter can show at all, has most of its goal."""
    return all(one.have >= ENOUGH * one.goal or one.hopeless for one in covered if one.kind in COUNTED)


def is_enough(kept: int, covered: Sequence[Covered], count: int) -> bool:
    """Whether painting may end: enough are kept and coverage is good, or, with many kept, that of the views is.

    Args:
        kept: how many are kept.
        covered: how far every value is covered.
        count: how many are wanted in all.
    """
    views = [one for one in covered if one.kind == "angle"]
    return kept >= count and is_good(views if kept >= MOST * count else covered)


def expected(tried: Sequence[Tried], count: int) -> int | None:
    """How many pictures will have been painted once there are enough, at the rate at which they came so far.

    Args:
        tried: all pictures so far.
        count: how many are wanted in all.

    Returns:
        None where it cannot be told: of something that is missing, none came so far.
    """
    needs = [(sum(one.shown is not None for one in tried), count)]
    needs += [
        (one.have, math.ceil(ENOUGH * one.goal))
        for one in coverage(tried, count)
        if one.kind in COUNTED and not one.hopeless
    ]
    if any(not have for have, _ in needs):
        return None
    return len(tried) + max(math.ceil(len(tried) * max(0, wanted - have) / have) for have, wanted in needs)


def next_wish(tried: Sequence[Tried], count: int, among: Mapping[str, Collection[str]] | None = None) -> dict[str, str]:
    """What to ask for next: of each kind the value that most is to be gained by.

    The gain is what is missing of its goal, as a share, times how often asking for it succeeded; so what is missing
    comes first, and what rarely succeeds waits until it is nearly all that is missing.

    Args:
        tried: all pictures so far.
        count: how many are wanted in all.
        among: by kind, the values that may be asked for; of a kind that is not named, all.
    """
    state = coverage(tried, count)
    allowed = among or {}
    wish = {}
    for kind in KINDS:
        there = [one for one in state if one.kind == kind and one.value in allowed.get(kind, (one.value,))]
        able = [one for one in there if not (one.hopeless or _waits(tried, count, one.value))] or there
        wish[kind] = max(able, key=lambda one: (_gain(one, tried), -_asked(tried, one.kind, one.value))).value
    return wish


def next_side(tried: Sequence[Tried], count: int) -> str:
    """To which side a head should look next in a view from the side: the one that was asked for less often.

    By its gain, as in `next_wish`, a side that succeeded a few times would be asked for alone. One that has its goal,
    or that this painter cannot show, waits.

    Args:
        tried: all pictures so far.
        count: how many are wanted in all.
    """
    state = [one for one in coverage(tried, count) if one.kind == "angle" and one.value in SIDES]
    able = [one for one in state if not (one.hopeless or _waits(tried, count, one.value))] or state
    missing = [one for one in able if one.have < one.goal] or able
    return min(missing, key=lambda one: _asked(tried, one.kind, one.value)).value


def prompt_of(wish: Wish, who: str) -> str:
    """The prompt of a wish.

    Args:
        wish: any kinds; without a framing it begins with "photo of".
        who: a description, or trigger and class word.
    """
    return ", ".join(phrase.replace("{who}", who) for phrase in phrases_of(wish).values())


def phrases_of(wish: Wish) -> dict[str, str]:
    """The phrase of each kind, "framing" first, with ``{who}`` in it."""
    said = {(kind, value.name): value.phrase for kind, values in KINDS.items() for value in values}
    found = {kind: said[kind, value] for kind, value in wish.items() if (kind, value) in said}
    return {"framing": "photo of {who}", **{kind: found[kind] for kind in KINDS if kind in found}}


def rate(successes: int, tries: int) -> float:
    """How often something succeeds, 0..1, as if it had been tried twice before, once with success."""
    return (successes + 1) / (tries + 2)


def _asked(tried: Sequence[Tried], kind: str, value: str) -> int:
    return sum(one.asked.get(kind) == value for one in tried)


def _came(tried: Sequence[Tried], kind: str, value: str) -> int:
    """How often a picture that was asked to show it was kept and does."""
    return sum(one.asked.get(kind) == value and one.shown is not None and one.shown.get(kind) == value for one in tried)


def _hopeless(tried: Sequence[Tried], kind: str, value: str) -> bool:
    return _fails(tried, kind, value, SIDE_HOPELESS if value in SIDES else HOPELESS)


def _waits(tried: Sequence[Tried], count: int, value: str) -> bool:
    """Whether a side that never came is left for now."""
    if value not in SIDES or sum(one.shown is not None for one in tried) >= count:
        return False
    return _fails(tried, "angle", value, max(HOPELESS, len(tried) // HOPED))


def _fails(tried: Sequence[Tried], kind: str, value: str, times: int) -> bool:
    """Whether a value was asked for so many times without success, while others of its kind come."""
    if _asked(tried, kind, value) < times or _came(tried, kind, value):
        return False
    return sum(_came(tried, kind, other.name) for other in KINDS[kind] if other.name != value) >= BEFORE


def _gain(one: Covered, tried: Sequence[Tried]) -> float:
    missing = max(0.0, 1 - one.have / one.goal)
    # where nothing is missing the rarest comes first, far behind whatever is
    spare = 0.01 / (1 + one.have / one.goal)
    return (missing + spare) * rate(_came(tried, one.kind, one.value), _asked(tried, one.kind, one.value))
