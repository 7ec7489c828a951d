"""Defines what the verdict's rules are made of: kinds of verdict, conditions on facts, and when a condition holds.

A condition on a fact that was not measured does not hold. Knows no rule and no limit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lib_lora.likeness.verdict.facts import Facts

Kind = Literal[
    "consistent",
    "slightly undertrained",
    "undertrained",
    "overtrained",
    "over-baked",
    "no longer learning",
    "follows no prompt",
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
# The face does not hold, or shows whatever is asked for; scripts see it by the exit status.
DRIFT: frozenset[Kind] = frozenset(
    (
        "slightly undertrained",
        "undertrained",
        "over-baked",
        "no longer learning",
        "follows no prompt",
        "drift",
        "another face",
        "not this person",
        "no face",
    )
)
# Nothing can be said about the face.
NO_VERDICT: frozenset[Kind] = frozenset(("several people", "too small", "blurred", "base too coarse", "not measurable"))

Fact = Callable[[Facts], "float | None"]
Limit = float | Fact


@dataclass(frozen=True)
class Condition:
    """What must hold of the facts; it does not where what it needs was not measured."""

    holds: Callable[[Facts], bool]


def below(fact: Fact, limit: Limit) -> Condition:
    """`fact` < `limit`, a number or another fact."""
    return _compared(fact, operator.lt, limit)


def at_most(fact: Fact, limit: Limit) -> Condition:
    """`fact` <= `limit`."""
    return _compared(fact, operator.le, limit)


def at_least(fact: Fact, limit: Limit) -> Condition:
    """`fact` >= `limit`."""
    return _compared(fact, operator.ge, limit)


def above(fact: Fact, limit: Limit) -> Condition:
    """`fact` > `limit`."""
    return _compared(fact, operator.gt, limit)


def either(*conditions: Condition) -> Condition:
    """Holds where at least one of the conditions holds."""
    return Condition(lambda facts: any(one.holds(facts) for one in conditions))


def every(*conditions: Condition) -> Condition:
    """Holds where all of the conditions hold."""
    return Condition(lambda facts: all(one.holds(facts) for one in conditions))


def unless(condition: Condition) -> Condition:
    """The contrary; holds also where what `condition` needs was not measured."""
    return Condition(lambda facts: not condition.holds(facts))


def there(fact: Callable[[Facts], object]) -> Condition:
    """`fact` is known, and neither empty nor 0."""
    return Condition(lambda facts: bool(fact(facts)))


def _compared(fact: Fact, compare: Callable[[float, float], bool], limit: Limit) -> Condition:
    def holds(facts: Facts) -> bool:
        value, edge = fact(facts), limit(facts) if callable(limit) else limit
        return value is not None and edge is not None and compare(value, edge)

    return Condition(holds)


@dataclass(frozen=True)
class Rule:
    """A rule of the verdict.

    Attributes:
        name: unique.
        kind: the verdict.
        when: conditions that must all hold.
        because: what was seen, with facts in braces.
        advice: the one thing to do next, with facts in braces.
        action: the same for a program; "none" where only the user can do it.
        value: the fact that is the action's value, or the value itself; None = none.
        headline: a few words, where those of its kind do not say it; empty = those.
    """

    name: str
    kind: Kind
    when: tuple[Condition, ...]
    because: str
    advice: str
    action: str = "none"
    value: Limit | None = None
    headline: str = ""


@dataclass(frozen=True)
class Note:
    """Something worth knowing beside the verdict; it changes nothing by itself.

    Attributes:
        name: unique.
        when: all must hold.
        text: as in `Rule.because`.
        kinds: of the verdicts that it may stand beside; empty = any.
    """

    name: str
    when: tuple[Condition, ...]
    text: str
    kinds: tuple[Kind, ...] = ()


def matching(facts: Facts, rules: Sequence[Rule]) -> list[Rule]:
    """The rules all of whose conditions hold, in order."""
    return [rule for rule in rules if all(condition.holds(facts) for condition in rule.when)]
