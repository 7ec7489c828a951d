"""Says up to which weight a face survives another LoRA, and the one thing to do next.

The weights are tested in their order: a weight counts as survived only where all lower ones are, so several weights
give no more chances of a false "survives" than one (a fixed sequence of tests). How large that chance is depends on how
the loss is spread over prompts: docs/likeness.md has what was measured. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

from lib_lora.likeness.comparing.set_comparison import LEAST_PAIRS
from lib_lora.likeness.comparing.weight_curve import LEAST_PROMPTS, MOST_LOST, PROMPTS, WeightPoint, pairs_needed
from lib_lora.messages.message import Message

CombinedKind = Literal[
    "survives", "survives up to", "changes", "changes from the lowest", "cannot be told", "not measurable",
    "does not hold alone", "no lines",
]  # fmt: skip
CombinedAction = Literal["use_weight", "lower_weights", "leave_out", "more_pictures", "look", "follow_test"]
_Do = tuple[CombinedAction, float | None]
SURVIVING: tuple[CombinedKind, ...] = ("survives", "survives up to")
CHANGING: tuple[CombinedKind, ...] = ("changes", "changes from the lowest")
MOST_PICTURES = 2 * PROMPTS  # at each weight, that are worth painting: each prompt with a second seed
LOWEST = 0.1  # a LoRA at less does next to nothing

_HEADLINES: dict[CombinedKind, str] = {
    "survives": "The face survives {lora} at every weight tried, up to {weight:g}",
    "survives up to": "The face survives {lora} up to weight {weight:g}",
    "changes": "{lora} changes the face at every weight tried",
    "changes from the lowest": "{lora} changes the face already at weight {weight:g}, the lowest tried",
    "cannot be told": "It cannot be told whether the face survives {lora}",
    "not measurable": "The face cannot be measured with {lora}",
    "does not hold alone": "No verdict on {lora}: the face does not hold without it",
    "no lines": "No verdict on {lora}",
}
_SURVIVES = (
    "At weight {weight:g} the identity that is kept changes by {change:+.0%} (95 % interval {low:+.0%} to {high:+.0%}, "
    "{pairs} pairs of pictures), so a loss of more than {most:.0%} is unlikely.{hidden}{next}"
)
_CHANGES = (
    "At weight {weight:g} the identity that is kept changes by {change:+.0%} (95 % interval {low:+.0%} to {high:+.0%}, "
    "{pairs} pairs of pictures).{hidden}"
)
_HIDDEN = " {dropped} of {of} faces there cannot be measured ({why}) and do not count."
_HIDDEN_HOLDS = " {dropped} of {of} faces there cannot be measured ({why}); that holds even if they are lost."
_NEXT: dict[str, str] = {
    "lost": (
        " At weight {weight:g} it changes by {change:+.0%} ({low:+.0%} to {high:+.0%}), a loss of more than {most:.0%}."
    ),
    "changes": " At weight {weight:g} it changes by {change:+.0%} ({low:+.0%} to {high:+.0%}), which is a loss.",
    "unclear": (
        " At weight {weight:g} it changes by {change:+.0%} ({low:+.0%} to {high:+.0%}), and a larger loss cannot be "
        "ruled out.{hidden}"
    ),
    "too few": " At weight {weight:g} too few faces can be measured.",
    "not measurable": " At weight {weight:g} {dropped} of {of} faces can no longer be measured.",
}
_UNCLEAR = (
    "At weight {weight:g} the identity that is kept changes by {change:+.0%} (95 % interval {low:+.0%} to {high:+.0%}),"
    " and {pairs} pairs of pictures are too few to rule out a loss of more than {most:.0%}.{hidden}"
)
_FEW_PROMPTS = (
    "At weight {weight:g} the identity that is kept changes by {change:+.0%} (95 % interval {low:+.0%} to {high:+.0%}),"
    " but pictures of {prompts} prompts overlook a loss that sits in a few of them; it takes {least} prompts.{hidden}"
)
_IF_LOST = (
    "At weight {weight:g} the identity that is kept changes by {change:+.0%} (95 % interval {low:+.0%} to {high:+.0%}),"
    " but {dropped} of {of} faces there cannot be measured ({why}); if those are lost, the loss may be more than "
    "{most:.0%}."
)
_TOO_FEW = "At weight {weight:g} only {pairs} pairs of pictures show a face that can be measured.{hidden}"
_NOT_MEASURABLE = (
    "At weight {weight:g}, {dropped} of {of} faces that can be measured without it can no longer be measured "
    "({why}); what is left of them says little."
)
_NOT_ALONE = "The test of the LoRA alone says: {headline}."
_NO_LINES = "The test of the LoRA alone has no verdict: {why}."
_ADVICE: dict[CombinedAction, str] = {
    "use_weight": "Use {lora} at weight {value:g}.",
    "lower_weights": "Try lower weights of {lora}, such as {value:g}.",
    "leave_out": "Leave {lora} out, or take another one.",
    "more_pictures": "Paint {value:g} pictures at each weight.",
    "look": "Look at the pictures: photos cannot show how similar such a face should be.",
    "follow_test": "First do what the test of the LoRA alone advises.",
}
_WHY = {
    "painted": "they look painted or drawn",
    "posterised": "they have only a few colours",
    "heavily compressed": "compression has spoilt them",
    "eyes covered": "something covers the eyes",
    "lower half covered": "something covers the lower half",
    "small": "they are too small",
    "blurred": "they are blurred",
    "cut": "the edge cuts them off",
    "unsure": "the detector is not sure that they are faces",
}
_OTHERWISE = "for several reasons"


@dataclass(frozen=True)
class CombinedVerdict:
    """What a curve says, and what to do.

    Attributes:
        kind: what is said, for programs.
        headline: a few words.
        because: what was seen, a sentence or two.
        advice: the one thing to do next, one sentence.
        action: the same for a program; `value` of it (a weight, a number of pictures), None where it has none.
        weight: the highest weight up to which the face survives; None where there is none.
        judged: false where nothing can be said.
        messages: `headline`, `because` and `advice` as a page can translate them.
    """

    kind: CombinedKind
    headline: str
    because: str
    advice: str
    action: CombinedAction
    value: float | None = None
    weight: float | None = None
    judged: bool = True
    messages: dict[str, Any] = field(default_factory=dict)


def judge_curve(points: Sequence[WeightPoint], lora: str) -> CombinedVerdict:
    """The verdict on a curve.

    Args:
        points: ascending from weight 0, and at least one more.
        lora: name of the other LoRA.
    """
    tried = list(points[1:])
    survived = list(takewhile(lambda one: one.kind == "survives", tried))
    if survived:
        best, rest = survived[-1], tried[len(survived) :]
        after = Message(_NEXT[rest[0].kind], _values(rest[0])) if rest else ""
        because = Message(_SURVIVES, {**_values(best), "next": after})
        kind: CombinedKind = "survives up to" if rest else "survives"
        return _verdict(kind, lora, because, ("use_weight", best.weight), best.weight)
    first = tried[0]
    values, lower = _values(first), round(first.weight / 2, 2)
    lowered: _Do = ("lower_weights", lower) if lower >= LOWEST else ("leave_out", None)
    if first.kind in ("changes", "lost"):
        every = all(one.kind in ("changes", "lost") for one in tried)
        kind = "changes" if every else "changes from the lowest"
        return _verdict(kind, lora, Message(_CHANGES, values), lowered, first.weight)
    if first.kind == "not measurable":
        return _verdict("not measurable", lora, Message(_NOT_MEASURABLE, values), ("look", None))
    wanted = _pictures(first)
    within = first.kind == "unclear" and first.change_low is not None and first.change_low >= -MOST_LOST
    if wanted is not None:
        lowered = ("more_pictures", float(wanted))
    elif within or first.kind == "too few":
        lowered = ("look", None)
    template = _TOO_FEW if first.kind == "too few" else _UNCLEAR
    if within:
        template = _FEW_PROMPTS if first.prompts < LEAST_PROMPTS else _IF_LOST
    because = Message(template, values)
    return _verdict("cannot be told", lora, because, lowered)


def without_curve(lora: str, headline: str, refusal: Message | str = "") -> CombinedVerdict:
    """The verdict where nothing is painted, since the test of the LoRA alone says that there is nothing to hold on to.

    Args:
        lora: name of the other LoRA.
        headline: of that test.
        refusal: why that test draws no lines; empty = it does, and the face does not hold.
    """
    if refusal:
        return _verdict("no lines", lora, Message(_NO_LINES, {"why": refusal}), ("follow_test", None))
    because = Message(_NOT_ALONE, {"headline": headline})
    return _verdict("does not hold alone", lora, because, ("follow_test", None))


def _pictures(point: WeightPoint) -> int | None:
    """How many pictures at each weight are likely to tell; None where that is more than anybody should paint."""
    pairs = pairs_needed(point) if point.kind == "unclear" else 2 * LEAST_PAIRS
    if pairs is None or not point.pairs:
        return None
    wanted = -(-max(pairs, point.pairs + 1) * point.pictures // point.pairs)  # not every picture becomes a pair
    # with fewer no weight is said to survive, and a part of a second round is of some prompts only
    wanted = PROMPTS if wanted <= PROMPTS else max(wanted, MOST_PICTURES)
    return wanted if point.pictures < wanted <= MOST_PICTURES else None


def _verdict(kind: CombinedKind, lora: str, because: Message, do: _Do, weight: float | None = None) -> CombinedVerdict:
    action, value = do
    said = {
        "headline": Message(_HEADLINES[kind], {"lora": lora, "weight": weight}, kind),
        "because": because,
        "advice": Message(_ADVICE[action], {"lora": lora, "value": value}, action),
    }
    return CombinedVerdict(
        kind=kind,
        headline=str(said["headline"]),
        because=str(said["because"]),
        advice=str(said["advice"]),
        action=action,
        value=value,
        weight=weight if kind in SURVIVING else None,
        judged=kind in (*SURVIVING, *CHANGING),
        messages={name: one.for_programs() for name, one in said.items()},
    )


def _values(point: WeightPoint) -> dict[str, Any]:
    why = Message(_WHY.get(point.dropped_by, _OTHERWISE))
    counts = {"dropped": point.dropped, "of": point.pairs + point.dropped, "why": why}
    hidden = Message(_HIDDEN_HOLDS if point.kind == "survives" else _HIDDEN, counts) if point.dropped else ""
    return {
        **counts,
        "weight": point.weight,
        "change": point.change,
        "low": point.change_low,
        "high": point.change_high,
        "pairs": point.pairs,
        "prompts": point.prompts,
        "least": LEAST_PROMPTS,
        "hidden": hidden,
        "most": MOST_LOST,
    }


def templates() -> Iterator[str]:
    """The templates of all of these, and of their parts."""
    yield from (*_HEADLINES.values(), _SURVIVES, _CHANGES, *_NEXT.values(), _UNCLEAR, _TOO_FEW, _NOT_MEASURABLE)
    yield from (_HIDDEN, _HIDDEN_HOLDS, _FEW_PROMPTS, _IF_LOST)
    yield from (_NOT_ALONE, _NO_LINES, *_ADVICE.values(), *_WHY.values(), _OTHERWISE)
