"""What rules of the verdict are made of: kinds of verdict, conditions on facts, and when a condition holds.

A condition on a fact that was not measured does not hold. Knows no rule and no limit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lib_lora.likeness.verdict.facts import Facts

Kind = Literal[
    "consistent",
    "slightly undertrained",
    "undertrained",
    "overtrained",
    "over-baked",
    "drift",
    "another face",
    "not this person",
    "no face",
    "several people",
    "too small",
    "blurred",
    "base too coarse",
    "not measurable",
]
# The face does not hold; scripts see it by the exit status.
DRIFT: frozenset[Kind] = frozenset(
    ("slightly undertrained", "undertrained", "over-baked", "drift", "another face", "not this person", "no face")
)
# Nothing can be said about the face.
NO_VERDICT: frozenset[Kind] = frozenset(("several people", "too small", "blurred", "base too coarse", "not measurable"))

Operator = Literal["<", "<=", ">=", ">", "is", "under", "over"]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
    "under": operator.lt,  # another fact
    "over": operator.ge,
}
Condition = tuple[str, Operator, Any]


@dataclass(frozen=True)
class Rule:
    """One pattern.

    Attributes:
        name: unique.
        kind: the verdict.
        when: conditions (fact, operator, limit) that must all hold; "is" compares with None or "" ("is", True =
            is there), "under" and "over" compare with another fact.
        because: what was seen, with facts in braces.
        advice: the one thing to do next, with facts in braces.
        action: the same for a program; "none" where only the user can do it.
        value: the fact that is the action's value, or the value itself; empty = none.
    """

    name: str
    kind: Kind
    when: tuple[Condition, ...]
    because: str
    advice: str
    action: str = "none"
    value: str | float = ""


@dataclass(frozen=True)
class Note:
    """Something worth knowing beside the verdict; it changes nothing by itself."""

    name: str
    when: tuple[Condition, ...]
    text: str


def holds(condition: Condition, facts: Facts) -> bool:
    """Whether one condition holds."""
    name, how, limit = condition
    value = getattr(facts, name)
    if how == "is":
        return (value not in (None, "", 0)) is bool(limit)
    if how in ("under", "over"):
        limit = getattr(facts, limit)
    return value is not None and limit is not None and _COMPARE[how](value, limit)


def matching(facts: Facts, rules: Sequence[Rule]) -> list[Rule]:
    """The rules all of whose conditions hold, in order."""
    return [rule for rule in rules if all(holds(condition, facts) for condition in rule.when)]
